"""The part of a network before the first replaced layer runs once: its outputs are kept, and only the rest is trained.

The *trunk* is every call of the model's own graph that some replaced layer, or what comes after it, needs and that does
not itself come after one. The *head* is everything else. The tensors between them are the *features*.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np

from edgett.errors import ModelError, ToolError
from edgett.graph.graph import Graph
from edgett.model import keras_compat, ports
from edgett.model.layers import compilation, replace
from edgett.model.trace import Call, Tensor, opened

BATCH = 256
"""Samples that run through the trunk at a time."""

_L = keras.layers
# Without weights, next to free, and never smaller behind than before: these may as well run in the head. There
# dropout before the first replaced layer stays random in training.
_FREE = (
    _L.Flatten, _L.Reshape, _L.Permute, _L.Rescaling, _L.Identity, _L.RepeatVector, _L.ZeroPadding1D, _L.ZeroPadding2D,
    _L.Dropout, _L.SpatialDropout1D, _L.SpatialDropout2D, _L.SpatialDropout3D, _L.AlphaDropout, _L.GaussianDropout,
    _L.GaussianNoise,
)  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """A model in two: `trunk` makes features of inputs, `head` makes the model's outputs of features, compiled alike.

    Both are copies: training a head changes neither the model nor the features. Layers keep their names, so a layer's
    path in the head is its path in the model. The head's inputs are the features, `feature_0` and so on, and, under
    their own names, those of the model's inputs that it reads itself. `random`: the trunk holds dropout, augmentation
    or the like, which act when the whole model is trained, and not when the trunk is frozen.
    """

    trunk: keras.Model
    head: keras.Model
    random: bool

    @property
    def bytes(self) -> int:
        """What the features of one sample take, sizes that are not known counted as 1."""
        return sum(
            np.dtype(_stored(port.dtype)).itemsize * math.prod(size or 1 for size in port.shape)
            for port in ports.output_ports(self.trunk)
        )


def parts(model: keras.Model, paths: Collection[str]) -> Parts | None:
    """The model cut before the layers of these paths; None if nothing with weights is before them, or no cut works.

    None works where sparse tensors cross it, in a model with masked outputs, and in one with training code of its own.
    Raises ModelError when the model cannot be copied, ValueError when it has no layers of these paths.
    """
    # Wiring layers anew leaves marks in them, so it is a copy that is taken apart.
    if _cut(model, paths) is None or (cut := _cut(replace(model, {}), paths)) is None:
        return None
    starts, made = _wired(cut.trunk, cut.inputs)
    trunk = keras.Model(_single(starts), {name: made[id(tensor)] for name, tensor in cut.features.items()})
    trunk.jit_compile = False  # XLA would compile longer than one pass takes
    starts, made = _wired(cut.head, {**cut.features, **cut.passed})
    # An output that the trunk makes keeps its name through a layer that hands it on.
    relays = {path: _L.Identity(name=path, dtype=tensor.dtype) for path, tensor in cut.relayed}
    made |= {id(tensor): relays[path](made[id(tensor)]) for path, tensor in cut.relayed}
    outputs = keras.tree.map_structure(lambda tensor: made[id(tensor)], cut.outputs)
    head = keras.Model(_single(starts), outputs, name=model.name)
    if model.compiled:
        head.compile(**compilation(model))
    return Parts(trunk, head, any(_is_random(call) for call in cut.trunk))


def share(model: keras.Model, paths: Collection[str], graph: Graph) -> float:
    """The part of the FLOPs in `graph` (the model's prediction) that the trunk before these paths takes; 0 without.

    Those that no rule counts are guessed, lest a recurrent trunk be thought free.
    """
    work = [step.guess if step.flops is None else step.flops for step in graph.steps]
    if (cut := _cut(model, paths)) is None or not (total := sum(work)):
        return 0.0
    names = {call.path for call in cut.trunk} - {call.path for call in cut.head}
    inside = zip(graph.steps, work, strict=True)
    return sum(each for step, each in inside if step.layer.split("/")[0] in names) / total


def features(
    parts: Parts, x: Mapping[str, np.ndarray], folder: Path, advance: Callable[[int], None]
) -> dict[str, np.ndarray]:
    """What the head reads, by input name: the trunk's outputs for x, inferred once into `folder`, and arrays of x.

    `advance` hears of the samples done. Features lie in memory-mapped .npy files, which processes share and which take
    no more memory than there is. Raises ToolError when they cannot be written, ModelError when a row is not a sample.
    """
    names = [port.name for port in ports.output_ports(parts.trunk)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            # Written, not mapped: on a full disk a mapped page kills the process.
            files = {name: stack.enter_context((folder / f"{name}.part").open("wb")) for name in names}
            _write(parts.trunk, x, files, advance)
        for name in names:
            (folder / f"{name}.part").replace(folder / f"{name}.npy")
    except OSError as error:
        size = parts.bytes * len(next(iter(x.values()))) / 2**20
        raise ToolError(
            f"the {size:.0f} MiB of features cannot be written to {folder}: {error.strerror or error}.",
            "Make room there, or train the whole network: --trunk trained.",
        ) from error
    return stored(parts.head, x, folder)


def stored(head: keras.Model, x: Mapping[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """What the head reads, where `features` has been for the same x. Raises ToolError when it has not."""
    names = [port.name for port in ports.input_ports(head)]
    try:
        return {name: x[name] if name in x else np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
    except (OSError, ValueError) as error:
        raise ToolError(f"the features in {folder} cannot be read: {error}.", "Compute them again.") from error


def rejoin(head: keras.Model, whole: keras.Model) -> None:
    """Give the head's weights to a model that has its layers: a twin of the model it was cut from, replaced alike."""
    for layer in head.layers:
        if layer.weights:
            whole.get_layer(layer.name).set_weights(layer.get_weights())


@dataclass(frozen=True)
class _Cut:
    """The calls of trunk and head.

    The head reads `features`, which the trunk makes, and the model's inputs `passed`; the trunk reads `inputs`.
    `relayed` are the features that are `outputs` of the model, each with the name of the layer that makes it.
    """

    trunk: tuple[Call, ...]
    head: tuple[Call, ...]
    features: Mapping[str, Tensor]
    passed: Mapping[str, Tensor]
    inputs: Mapping[str, Tensor]
    relayed: tuple[tuple[str, Tensor], ...]
    outputs: Any


def _cut(model: keras.Model, paths: Collection[str]) -> _Cut | None:
    graph = opened(model)
    calls = _calls(graph)
    names = {path.split("/")[0] for path in paths}
    if missing := names - {call.path for call in calls}:
        raise ValueError(f"no layers named {sorted(missing)}")
    inputs, outputs = dict(ports.tensors(model, "input")), keras.tree.flatten(graph.output)
    maker = {id(tensor): call for call in calls for tensor in call.writes}
    frozen = _frozen(calls, names)
    read = [tensor for call in calls if call not in frozen for tensor in call.reads] + outputs
    crossing = [tensor for tensor in read if maker.get(id(tensor)) in (None, *frozen)]
    border = _distinct(_before_free(tensor, maker) for tensor in crossing)
    head, trunk = _needed(calls, outputs, border), _needed(calls, border, inputs.values())
    relayed = tuple((maker[id(t)].path, t) for t in border if id(t) in maker and _among(t, outputs))
    taken = {*inputs, *(call.path for call in head)}
    if not _can_cut(model, border) or taken & dict(relayed).keys() or not any(map(_is_worth, trunk)):
        return None
    free = (name for name in (f"feature_{index}" for index in itertools.count()) if name not in taken)
    read = [tensor for call in trunk for tensor in call.reads]
    return _Cut(
        trunk=trunk,
        head=head,
        features={next(free): tensor for tensor in border if id(tensor) in maker},
        passed={name: tensor for name, tensor in inputs.items() if _among(tensor, border)},
        inputs={name: tensor for name, tensor in inputs.items() if _among(tensor, read)},
        relayed=relayed,
        outputs=graph.output,
    )


def _calls(graph: Any) -> tuple[Call, ...]:
    """The calls of the model's own graph in the order they can run in; nested models stay whole."""
    return tuple(
        Call(node.operation.name, node.operation, node.arguments.args, node.arguments.kwargs, node.outputs)
        for node in keras_compat.nodes(graph)
    )


def _frozen(calls: tuple[Call, ...], names: Collection[str]) -> set[Call]:
    """The calls that those of these names, or calls after them, need, and that come after none of them.

    A call that shares weights with one that is trained is trained too, and so is what comes after it.
    """
    started = {call for call in calls if call.path in names}
    while True:
        tuned, made = set(), set()
        for call in calls:
            if call in started or any(id(tensor) in made for tensor in call.reads):
                tuned.add(call)
                made |= {id(tensor) for tensor in call.writes}
        frozen = {*_needed(calls, [tensor for call in tuned for tensor in call.reads])} - tuned
        trained = {id(weight) for call in calls if call not in frozen for weight in _weights(call)}
        shared = {call for call in frozen if any(id(weight) in trained for weight in _weights(call))}
        if not shared:
            return frozen
        started |= shared


def _needed(calls: tuple[Call, ...], wanted: Iterable[Tensor], given: Iterable[Tensor] = ()) -> tuple[Call, ...]:
    """The calls that it takes to make the wanted tensors of the given ones and the model's inputs."""
    known = {id(tensor) for tensor in given}
    missing = {id(tensor) for tensor in wanted}
    kept: list[Call] = []
    for call in reversed(calls):
        if any(id(tensor) in missing - known for tensor in call.writes):
            kept.append(call)
            missing |= {id(tensor) for tensor in call.reads}
    return tuple(reversed(kept))


def _before_free(tensor: Tensor, maker: Mapping[int, Call]) -> Tensor:
    """The tensor that the given one is next to free to make of."""
    call = maker.get(id(tensor))
    return _before_free(call.reads[0], maker) if call is not None and type(call.layer) in _FREE else tensor


def _can_cut(model: keras.Model, border: Iterable[Tensor]) -> bool:
    """Whether Keras trains the model, and nothing but plain arrays of a row a sample crosses the border."""
    rows = model.inputs[0].shape[0]
    plain = all(tensor.shape[:1] == (rows,) and not (tensor.sparse or tensor.ragged) for tensor in border)
    # Along with a masked output its mask goes into the loss; of features nothing is masked.
    masked = any(map(keras_compat.is_masked, model.outputs))
    return plain and not masked and type(model).__module__.startswith("keras.")


def _is_worth(call: Call) -> bool:
    return any(layer.weights and not isinstance(layer, _L.Normalization) for layer in _leaves(call))


def _is_random(call: Call) -> bool:
    return any(map(keras_compat.is_random, _leaves(call)))


def _leaves(call: Call) -> list[Any]:
    """The layers that a call runs, models left out; none for a bare operation."""
    every = keras_compat.nested(call.layer) if isinstance(call.layer, keras.layers.Layer) else []
    return [layer for layer in every if not isinstance(layer, keras.Model)]


def _weights(call: Call) -> list[Any]:
    return getattr(call.layer, "weights", [])


def _wired(calls: Iterable[Call], starts: Mapping[str, Tensor]) -> tuple[list[Tensor], dict[int, Tensor]]:
    """The calls made anew from new inputs, named and shaped like `starts`: those, and what stands for each tensor."""
    inputs = [keras.Input(batch_shape=t.shape, dtype=t.dtype, name=name) for name, t in starts.items()]
    made = {id(tensor): fresh for tensor, fresh in zip(starts.values(), inputs, strict=True)}

    def anew(leaf: Any) -> Any:
        return made.get(id(leaf), leaf)

    for call in calls:
        args, kwargs = keras.tree.map_structure(anew, (call.args, dict(call.kwargs)))
        results = keras.tree.flatten(call.layer(*args, **kwargs))
        made |= {id(tensor): result for tensor, result in zip(call.writes, results, strict=True)}
    return inputs, made


def _single(tensors: list[Tensor]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors


def _distinct(tensors: Iterable[Tensor]) -> list[Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())


def _among(tensor: Tensor, tensors: Iterable[Tensor]) -> bool:
    return any(tensor is other for other in tensors)


def _write(
    trunk: keras.Model, x: Mapping[str, np.ndarray], files: Mapping[str, BinaryIO], advance: Callable[[int], None]
) -> None:
    """Every feature of x as an .npy of its own, batch by batch."""
    read = {port.name: x[port.name] for port in ports.input_ports(trunk)}
    count = len(next(iter(read.values())))
    shapes: dict[str, tuple[int, ...]] = {}
    for start in range(0, count, BATCH):
        batch = {name: array[start : start + BATCH] for name, array in read.items()}
        rows = min(BATCH, count - start)
        for name, array in ports.by_output(trunk, trunk.predict_on_batch(ports.feed(trunk, batch))).items():
            kept = np.ascontiguousarray(array, _stored(array.dtype))
            shape = shapes.setdefault(name, kept.shape[1:])
            if kept.shape != (rows, *shape):
                raise ModelError(
                    f"{rows} samples make features of shape {kept.shape}, not one row of shape {shape} a sample.",
                    "Train the whole network: --trunk trained.",
                )
            if start == 0:
                facts = {"descr": kept.dtype.str, "fortran_order": False, "shape": (count, *shape)}
                np.lib.format.write_array_header_1_0(files[name], facts)
            files[name].write(kept.data)
        advance(rows)


def _stored(dtype: Any) -> Any:
    """The type that features are kept in: .npy has no bfloat16."""
    return "float32" if str(dtype) == "bfloat16" else dtype
