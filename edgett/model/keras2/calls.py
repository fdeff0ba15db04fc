"""Calls of layers as Keras 2 wrote them, and what Keras 3 has for functions of TensorFlow in the place of layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

Config = dict[str, Any]
Entries = list[Any]


class Untranslatable(ValueError):
    """What a file of Keras 2 needs and Keras 3 has not; `name` of a class that nobody knows."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True)
class Calls:
    """The names of a model's layers, and at which number Keras 2 began to count the calls of each."""

    first: Mapping[str, int]

    def tensor(self, history: Entries) -> Config:
        """What Keras 3 writes for the output of a call."""
        name, call, index = history[:3]
        if name not in self.first:
            raise Untranslatable(f"a layer reads {name!r}, which is not there")
        place = [name.replace("/", "."), call - self.first[name], index]
        return {"class_name": "__keras_tensor__", "config": {"shape": [], "dtype": "float32", "keras_history": place}}

    def value(self, item: Any) -> Any:
        """An argument: tensors wherever they are, constants as they are."""
        if _constant(item):
            return item[2]
        if _history(item) and item[0] in self.first:
            return self.tensor(item)
        if isinstance(item, list):
            return [self.value(inner) for inner in item]
        if isinstance(item, dict):
            return {key: self.value(inner) for key, inner in item.items()}
        return item


def calls(entries: Entries, ends: Any) -> Calls:
    """How the layers of a model call each other, and what ends it.

    A model counts as called when it is made, which Keras 2 counts too: calls of it begin at 1.
    """
    largest: dict[str, int] = {}
    _most([entry.get("inbound_nodes") if isinstance(entry, dict) else None for entry in entries], largest)
    _most(ends, largest)
    first = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise Untranslatable("a layer of its configuration has no name")
        nodes = entry.get("inbound_nodes") or []
        nested = isinstance(entry.get("config"), dict) and "layers" in entry["config"]
        first[entry["name"]] = int(nested and largest.get(entry["name"], len(nodes)) >= len(nodes))
    return Calls(first)


def _most(item: Any, largest: dict[str, int]) -> None:
    """Note the highest number of a call that is read of each layer."""
    if _history(item):
        largest[item[0]] = max(largest.get(item[0], 0), item[1])
    inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    for part in inner:
        _most(part, largest)


def settings_of(entry: Any) -> Config:
    """The settings of anything with a class; empty where there are none."""
    settings = entry.get("config") if isinstance(entry, dict) else None
    return settings if isinstance(settings, dict) else {}


def _history(item: Any) -> bool:
    """Whether this is the output of a call: a layer, which call, which output, and perhaps arguments."""
    return (
        isinstance(item, list) and len(item) in (3, 4) and isinstance(item[0], str) and type(item[1]) is int
        and type(item[2]) is int and (len(item) == 3 or isinstance(item[3], dict))
    )  # fmt: skip


def _constant(item: Any) -> bool:
    return isinstance(item, list) and len(item) in (3, 4) and item[0] == "_CONSTANT_VALUE"


def node(item: Any, found: Calls, *, recurrent: bool = False) -> Config:
    """One call of a layer."""
    given, keywords = _arguments(item)
    values = found.value(given)
    arguments = {key: found.value(value) for key, value in keywords.items() if value is not None}
    if recurrent and isinstance(values, list) and len(values) > 1:  # states behind the sequence; seen in 2.15.0
        return {"args": values[:1], "kwargs": {**arguments, "initial_state": values[1:]}}
    return {"args": [values], "kwargs": arguments}


def _arguments(item: Any) -> tuple[Any, Config]:
    """The first argument, as the outputs of calls, and the others by name."""
    if isinstance(item, dict):
        parts = {key: _arguments([value] if _history(value) else value) for key, value in item.items()}
        return {key: part for key, (part, _) in parts.items()}, {}
    if not isinstance(item, list) or not item:
        raise Untranslatable("a call in its configuration is not one")
    flat = [item] if isinstance(item[0], str) else item
    if not all(_history(one) or _constant(one) for one in flat):
        raise Untranslatable("a call in its configuration is not one")
    keywords = flat[0][3] if len(flat[0]) == 4 else {}
    given = [list(one[:3]) for one in flat]
    return given[0] if len(given) == 1 else given, keywords


def outputs(item: Any, found: Calls, kinds: Mapping[str, str]) -> Any:
    """The ends of a model. Keras 3 counts calls of functional models from 1 here, and only here."""
    if _history(item):
        name, call, index = item[:3]
        if name not in found.first:
            raise Untranslatable(f"an end of the model is {name!r}, which is not there")
        renamed = name.replace("/", ".")
        return [renamed, call - found.first[name] + (kinds[renamed] == "Functional"), index]
    if isinstance(item, list):
        ends = [outputs(inner, found, kinds) for inner in item]
        return ends[0] if len(ends) == 1 else ends  # Keras 2 does not tell one from a list of one
    if isinstance(item, dict):
        return {key: outputs(inner, found, kinds) for key, inner in item.items()}
    raise Untranslatable("the inputs or outputs of a model are not there")


@dataclass(frozen=True)
class _Operation:
    """An operation of Keras 3: the arguments that it is called with, and those that it is made with.

    Both by the names that TensorFlow's function has for them; `defaults` where its own are others than Keras's.
    """

    name: str
    called: str
    made: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)


_REDUCED = {"axis": "axis", "keepdims": "keepdims"}

_FUNCTIONS: dict[str, _Operation] = {
    # seen in 2.12.0 and 2.15.0
    "__operators__.add": _Operation("numpy.Add", "x y"),
    "math.add": _Operation("numpy.Add", "x y"),
    "math.subtract": _Operation("numpy.Subtract", "x y"),
    "math.multiply": _Operation("numpy.Multiply", "x y"),
    "math.truediv": _Operation("numpy.TrueDivide", "x y"),
    "math.divide": _Operation("numpy.TrueDivide", "x y"),
    "math.pow": _Operation("numpy.Power", "x y"),
    "math.maximum": _Operation("numpy.Maximum", "x y"),
    "math.minimum": _Operation("numpy.Minimum", "x y"),
    "math.negative": _Operation("numpy.Negative", "x"),
    "math.abs": _Operation("numpy.Absolute", "x"),
    "math.square": _Operation("numpy.Square", "x"),
    "math.sqrt": _Operation("numpy.Sqrt", "x"),
    "math.rsqrt": _Operation("math.Rsqrt", "x"),
    "math.exp": _Operation("numpy.Exp", "x"),
    "math.log": _Operation("numpy.Log", "x"),
    "math.sin": _Operation("numpy.Sin", "x"),
    "math.cos": _Operation("numpy.Cos", "x"),
    "math.floor": _Operation("numpy.Floor", "x"),
    "math.sign": _Operation("numpy.Sign", "x"),
    "math.reciprocal": _Operation("numpy.Reciprocal", "x"),
    "math.sigmoid": _Operation("nn.Sigmoid", "x"),
    "nn.sigmoid": _Operation("nn.Sigmoid", "x"),
    "math.tanh": _Operation("numpy.Tanh", "x"),
    "nn.tanh": _Operation("numpy.Tanh", "x"),
    "math.softplus": _Operation("nn.Softplus", "features"),
    "nn.softplus": _Operation("nn.Softplus", "features"),
    "nn.relu": _Operation("nn.Relu", "features"),
    "nn.relu6": _Operation("nn.Relu6", "features"),
    "nn.elu": _Operation("nn.Elu", "features"),
    "nn.selu": _Operation("nn.Selu", "features"),
    "nn.silu": _Operation("nn.Silu", "features"),
    "nn.leaky_relu": _Operation("nn.LeakyRelu", "features", {"alpha": "negative_slope"}),
    "nn.gelu": _Operation("nn.Gelu", "features", {"approximate": "approximate"}, {"approximate": False}),
    "nn.softmax": _Operation("nn.Softmax", "logits", {"axis": "axis"}),
    "math.l2_normalize": _Operation("nn.Normalize", "x", {"axis": "axis"}),
    "math.reduce_mean": _Operation("numpy.Mean", "input_tensor", _REDUCED),
    "math.reduce_sum": _Operation("numpy.Sum", "input_tensor", _REDUCED),
    "math.reduce_max": _Operation("numpy.Max", "input_tensor", _REDUCED),
    "math.reduce_min": _Operation("numpy.Min", "input_tensor", _REDUCED),
    "math.reduce_prod": _Operation("numpy.Prod", "input_tensor", _REDUCED),
    "linalg.matmul": _Operation("numpy.Matmul", "a b"),
    "reshape": _Operation("numpy.Reshape", "tensor", {"shape": "newshape"}),
    "transpose": _Operation("numpy.Transpose", "a", {"perm": "axes"}),
    "compat.v1.transpose": _Operation("numpy.Transpose", "a", {"perm": "axes"}),
    "squeeze": _Operation("numpy.Squeeze", "input", {"axis": "axis"}),
    "compat.v1.squeeze": _Operation("numpy.Squeeze", "input", {"axis": "axis"}),
    "expand_dims": _Operation("numpy.ExpandDims", "input", {"axis": "axis"}),
    "concat": _Operation("numpy.Concatenate", "values", {"axis": "axis"}),
    "stack": _Operation("numpy.Stack", "values", {"axis": "axis"}),
    "split": _Operation("numpy.Split", "value", {"num_or_size_splits": "indices_or_sections", "axis": "axis"}),
    "tile": _Operation("numpy.Tile", "input", {"multiples": "repeats"}),
    "pad": _Operation("numpy.Pad", "tensor", {"paddings": "pad_width", "mode": "mode"}),
    "compat.v1.pad": _Operation("numpy.Pad", "tensor", {"paddings": "pad_width", "mode": "mode"}),
    "cast": _Operation("core.Cast", "x", {"dtype": "dtype"}),
    "clip_by_value": _Operation("numpy.Clip", "t", {"clip_value_min": "x_min", "clip_value_max": "x_max"}),
    "__operators__.getitem": _Operation("numpy.GetItem", "tensor slice_spec"),
}
"""What stands for a function of TensorFlow, by its name in a `TFOpLambda`."""

_ELSEWHERE: dict[tuple[str, str], tuple[Any, ...]] = {
    ("compat.v1.transpose", "conjugate"): (False,),
    ("transpose", "conjugate"): (False,),
    ("nn.silu", "beta"): (1.0,),
    ("math.l2_normalize", "epsilon"): (1e-12,),
    ("pad", "constant_values"): (0,),
    ("compat.v1.pad", "constant_values"): (0,),
    ("linalg.matmul", "transpose_a"): (False,),
}
"""Other arguments of functions, and the values with which they change nothing."""


def is_function(entry: Any) -> bool:
    """Whether an entry is no layer, but a function of TensorFlow."""
    return isinstance(entry, dict) and entry.get("class_name") in ("TFOpLambda", "SlicingOpLambda")


def function(entry: Config, found: Calls) -> tuple[Config, list[Config]]:
    """The operation that stands for a function, and its calls. Raises Untranslatable."""
    name, nodes = str(settings_of(entry).get("function")), entry.get("inbound_nodes")
    what, row = f"layer {entry.get('name')!r}, a tf.{name},", _FUNCTIONS.get(name)
    if row is None or not isinstance(nodes, list) or not nodes:
        raise Untranslatable(f"{what} has no counterpart among the layers of Keras 3 that edgett knows")
    arguments = [_given(row, item, found) for item in nodes]
    called = row.called.split()
    made = [_made(name, row, item, what) for item in arguments]
    if any(other != made[0] for other in made):
        raise Untranslatable(f"{what} is called in more than one way")
    module, _, kind = row.name.partition(".")
    if name == "linalg.matmul" and arguments[0].get("transpose_b"):
        kind, made = "Einsum", [{"subscripts": "...ij,...kj->...ik"}]
    config = {"name": str(entry.get("name")).replace("/", "."), **made[0]}
    layer = {"module": f"keras.src.ops.{module}", "class_name": kind, "config": config, "registered_name": kind}
    return layer, [{"args": [one[key] for key in called if key in one], "kwargs": {}} for one in arguments]


def _made(name: str, row: _Operation, arguments: Config, what: str) -> Config:
    """What the operation is made with."""
    made = dict(row.defaults)
    for key, value in arguments.items():
        if key in row.made:
            made[row.made[key]] = _adapted(key, value)
        elif key in row.called.split() or key in ("name", "transpose_b"):
            continue
        elif value not in (None, *_ELSEWHERE.get((name, key), ())):
            raise Untranslatable(f"{what} has {key} {value!r}")
    if any(_tensors(value) for value in made.values()):
        raise Untranslatable(f"{what} takes a shape that is only known when it runs")
    return made


def _adapted(key: str, value: Any) -> Any:
    """A value that is written in another way."""
    if key == "mode":
        return str(value).lower()
    if key == "num_or_size_splits" and isinstance(value, list):
        return list(accumulate(value[:-1]))
    return value


def _given(row: _Operation, item: Any, found: Calls) -> Config:
    """The arguments of a call by name."""
    given, keywords = _arguments(item)
    first = row.called.split()[0]
    values = {first: found.value(given)}
    if first == "values" and _history(given):
        values[first] = [values[first]]
    for key, value in keywords.items():
        values[key] = _slices(value) if key == "slice_spec" else found.value(value)
    return values


def _slices(value: Any) -> Any:
    """Indices as Keras 3 writes them."""
    if isinstance(value, list):
        return [_slices(item) for item in value]
    if isinstance(value, dict) and "start" in value:
        return {"class_name": "__slice__", "config": {key: value.get(key) for key in ("start", "stop", "step")}}
    if isinstance(value, dict) and value.get("class_name") == "__ellipsis__":
        return {"class_name": "__ellipsis__", "config": {}}
    return value


def _tensors(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get("class_name") == "__keras_tensor__" or any(_tensors(item) for item in value.values())
    return isinstance(value, list) and any(_tensors(item) for item in value)
