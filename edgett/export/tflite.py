"""TFLite: write an artefact, read its graph back from the bytes."""

from __future__ import annotations

import errno
import functools
import hashlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgett.errors import ToolError
from edgett.export.calibration import Calibration
from edgett.export.compact_tflite import compacted
from edgett.export.owners import Owners
from edgett.export.refined import refined
from edgett.export.refusal import refused
from edgett.graph.graph import Constant, Graph, Step, around
from edgett.graph.op import named
from edgett.graph.traits import Rule
from edgett.system.folders import scratch
from edgett.system.quiet import quiet

# TensorFlow's names for what becomes a product.
_PRODUCT = re.compile(r"/(MatMul|Tensordot|einsum|convolution|depthwise|separable_conv2d|conv2d_transpose)")


def write(
    servable: Any, path: Path, calibration: Calibration | None = None, floats: Callable[[list[str]], bool] | None = None
) -> None:
    """Convert a model to a TFLite file: to float32, or by calibration to int8 throughout, its ends included.

    In int8, weights of convolutions have a scale for each channel, those of fully connected layers and of cores one.

    Args:
        servable: a `model.servable.Servable`.
        path: the file to write.
        calibration: the inputs by which int8 ranges are set; None: float32.
        floats: tells by the names of an operator's results whether it stays in float32; None: none does.

    Raises:
        ModelError: for what the converter refuses.
        OSError: for a full disk.
    """
    import tensorflow as tf

    from edgett.export.flatbuffer import parsed

    try:
        with scratch() as folder, quiet(), _full_told():
            tf.saved_model.save(servable, str(folder), signatures={"serving_default": servable.serve})
            converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
            if calibration is None:
                content = converter.convert()
            else:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda: iter(calibration)
                content = _quantised(converter, calibration, floats)
    except (OSError, ToolError):
        raise
    except Exception as error:
        raise refused("TensorFlow's converter to TFLite", servable.paths.items(), error) from error
    path.write_bytes(compacted(parsed(content), servable.paths))


@contextmanager
def _full_told() -> Iterator[None]:
    """A full disk as Python tells it, where it is TensorFlow that meets it."""
    try:
        yield
    except Exception as error:
        if "No space left on device" in str(error):
            raise OSError(errno.ENOSPC, "No space left on device") from error
        raise


def _quantised(converter: Any, calibration: Calibration, floats: Callable[[list[str]], bool] | None) -> bytes:
    """An int8 model in which some operators stay in float32, by their names in the one in which none does."""
    from tensorflow.lite.python.convert import mlir_quantize

    converter._experimental_calibrate_only = True
    calibrated = converter.convert()

    def made(content: bytes, spared: Sequence[str] = ()) -> bytes:
        # Scales and zero points of a column and its bias take 24 bytes, more than a core has for it in numbers.
        return bytes(
            mlir_quantize(
                content,
                fully_quantize=True,
                disable_per_channel_for_dense_layers=True,
                denylisted_nodes=list(spared),
            )
        )

    spared = [] if floats is None else [*_spared(made(calibrated), floats)]
    return made(refined(calibrated, calibration, spared), spared)


def _spared(content: bytes, floats: Callable[[list[str]], bool]) -> Iterator[str]:
    """The names of the results of operators that stay in float32."""
    from edgett.export.flatbuffer import parsed

    model = parsed(content)
    body, outputs = model.subgraphs[0], _outputs(model)
    for operator in body.operators:
        if floats(_told(body, operator, outputs)):
            yield from (body.tensors[index].name.decode() for index in operator.outputs)


def read(path: Path, owners: Owners) -> Graph:
    """Read the graph of a .tflite from its bytes: constants that feed arithmetic, FLOPs, tensors.

    Args:
        path: the file.
        owners: tell from converters' names which layer an operator belongs to.

    Returns:
        The graph.

    Raises:
        ToolError: when the file is no TFLite model.
    """
    model = _parsed(path)
    try:
        return _graph(model, owners)
    except Exception as error:  # of parts that are there, some may lack what others have
        raise ToolError(f"{path} is no TFLite model that can be read: {error}.", "Export it again.") from error


def _graph(model: Any, owners: Owners) -> Graph:
    body = model.subgraphs[0]
    outputs = _outputs(model)
    steps: list[Step] = []
    for operator in body.operators:
        told, kind = _told(body, operator, outputs), operator_name(model, operator)
        rule = named(kind).rule
        if rule is Rule.PRODUCT:
            told.sort(key=lambda name: _PRODUCT.search(name) is None)
        layer = owners.layer(told)
        inner = list(_called(model, operator, layer, (0,)))
        idle = rule is Rule.FREE or (rule is not Rule.PRODUCT and owners.activates(told))
        steps += around(_step(model, operator, layer, idle), inner)
    steps = [*_kept(model, steps)]
    sizes, widths = _measures(model, steps)
    return Graph(tuple(steps), sizes, _known(body.inputs, sizes), _known(body.outputs, sizes), widths)


def _step(model: Any, operator: Any, layer: str, idle: bool) -> Step:
    """An operator of the main graph; an `idle` one stores and computes nothing that counts."""
    tensors, kind = model.subgraphs[0].tensors, operator_name(model, operator)
    inputs = [index for index in operator.inputs if index >= 0]
    stored = {index: _values(model, tensors[index]) for index in inputs}
    constants = {index: values for index, values in stored.items() if values is not None}
    numbers = {index: values for index, values in constants.items() if _computed_with(tensors[index], values)}
    reads = tuple(str(index) for index in inputs if index not in constants)
    kept, flops, macs = ((), 0, 0) if idle else _count(kind, tensors, operator, numbers)
    return Step(layer, kind, reads, tuple(map(str, operator.outputs)), kept, flops, macs)


def _called(model: Any, operator: Any, layer: str, above: tuple[int, ...]) -> Iterator[Step]:
    """The steps of the graphs that an operator of control flow runs, one after the other, as tflite-micro plans them.

    They count nothing, for nobody knows how often they run, but their tensors take their place.
    """
    for number in _callees(operator):
        if number in above or not 0 < number < len(model.subgraphs):
            raise ValueError(f"a graph of it calls graph {number}")
        body = model.subgraphs[number]
        names = functools.partial(_names, model, number)
        yield Step(layer, "ENTER", (), names(body.inputs))
        for inner in body.operators:
            step = Step(layer, operator_name(model, inner), names(inner.inputs), names(inner.outputs))
            yield from around(step, list(_called(model, inner, layer, (*above, number))))
        yield Step(layer, "LEAVE", names(body.outputs), ())


def _callees(operator: Any) -> list[int]:
    """The graphs that an operator runs: WHILE, IF and CALL_ONCE name them in their options."""
    keys = ("condSubgraphIndex", "bodySubgraphIndex", "thenSubgraphIndex", "elseSubgraphIndex", "initSubgraphIndex")
    return [getattr(operator.builtinOptions, key) for key in keys if hasattr(operator.builtinOptions, key)]


def _names(model: Any, number: int, indices: Any) -> tuple[str, ...]:
    """What tensors of an inner graph are called here, constants left out."""
    tensors = model.subgraphs[number].tensors
    return tuple(f"{number}/{index}" for index in indices if index >= 0 and _values(model, tensors[index]) is None)


def _kept(model: Any, steps: list[Step]) -> Iterator[Step]:
    """The steps, and around them what is there all the time: variables, which no operator makes anew."""
    made = {name for step in steps for name in step.writes} | {str(index) for index in model.subgraphs[0].inputs}
    held = tuple(dict.fromkeys(name for step in steps for name in step.reads if name not in made))
    if held:
        yield Step("", "VARIABLE", (), held)
    yield from steps
    if held:
        yield Step("", "VARIABLE", held, ())


def _measures(model: Any, steps: list[Step]) -> tuple[dict[str, int], dict[str, int]]:
    """The elements of each tensor that the steps name, and the bytes of one."""
    sizes, widths = {}, {}
    for name in dict.fromkeys(name for step in steps for name in (*step.reads, *step.writes)):
        *graph, index = map(int, name.split("/"))
        tensor = model.subgraphs[graph[0] if graph else 0].tensors[index]
        sizes[name] = math.prod(_shape(tensor))
        widths[name] = _kinds().get(tensor.type, np.float32)(0).itemsize
    return sizes, widths


def _outputs(model: Any) -> dict[int, str]:
    """The names of the outputs by their tensors' numbers, also those of the floats that an output is quantised from."""
    signature = (model.signatureDefs or [None])[0]
    outputs = {entry.tensorIndex: entry.name.decode() for entry in (signature.outputs if signature else ())}
    for operator in model.subgraphs[0].operators:
        made = operator.outputs[0]
        if made in outputs and operator_name(model, operator) == "QUANTIZE":
            outputs.setdefault(operator.inputs[0], outputs[made])
    return outputs


def _told(body: Any, operator: Any, outputs: dict[int, str]) -> list[str]:
    """The names of what an operator makes, then those of the outputs that it makes."""
    made = list(operator.outputs)
    parts = [part for index in made for part in body.tensors[index].name.decode().split(";")]
    return parts + [outputs[index] for index in made if index in outputs]


def names(path: Path) -> dict[str, str]:
    """Name the tensors of a .tflite as the file does.

    Args:
        path: the file.

    Returns:
        The file's names by those of `read`; constants have none.

    Raises:
        ToolError: when the file is no TFLite model.
    """
    tensors = enumerate(_parsed(path).subgraphs[0].tensors)
    return {str(index): tensor.name.decode() for index, tensor in tensors if tensor.name}


def _count(
    kind: str, tensors: Any, operator: Any, numbers: dict[int, Any]
) -> tuple[tuple[Constant, ...], int | None, int]:
    """The constants that an operator stores, its FLOPs (None for an operator without a rule) and its MACs."""
    kept = dict(numbers)
    first, made = _shape(tensors[operator.inputs[0]]), math.prod(_shape(tensors[operator.outputs[0]]))
    rule = named(kind).rule
    if rule is Rule.ARITHMETIC:
        return _constants(kept), made, 0
    if rule is not Rule.PRODUCT:
        return _constants(kept), None, 0
    slot = 2 if kind != "TRANSPOSE_CONV" else 3
    bias = int(operator.inputs[slot]) if len(operator.inputs) > slot else -1
    # Convolutions must have a bias in TFLite: the converter stores zeros where the model has none.
    biased = bias in kept and bool(np.any(kept[bias]))
    if not biased:
        kept.pop(bias, None)
    weight = _shape(tensors[operator.inputs[1]])
    if kind == "FULLY_CONNECTED":
        flops = 2 * math.prod(first) * weight[0]
    elif kind == "CONV_2D":
        flops = 2 * made * math.prod(weight[1:])
    elif kind == "DEPTHWISE_CONV_2D":
        flops = 2 * made * math.prod(weight[1:3])
    else:
        flops = 2 * math.prod(_shape(tensors[operator.inputs[2]])) * math.prod(weight[:3])
    return _constants(kept, f"/{operator.outputs[0]}"), flops + made * biased, flops // 2


def _constants(values: dict[int, Any], product: str = "") -> tuple[Constant, ...]:
    """By content; but a quantised bias belongs to one product, by whose scales it is stored."""
    return tuple(
        Constant(
            hashlib.sha256(array.tobytes()).hexdigest() + product * (array.dtype == np.int32),
            array.size,
            array.itemsize,
        )
        for array in values.values()
    )


def _values(model: Any, tensor: Any) -> Any:
    """The numbers of a constant tensor; None for one that is computed."""
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0:
        return None
    return np.frombuffer(bytes(data), _kinds().get(tensor.type, np.uint8))


def _computed_with(tensor: Any, values: Any) -> bool:
    """Whether constants are floating or quantised numbers; shapes and axes are not."""
    scale = tensor.quantization.scale if tensor.quantization is not None else None
    return values.dtype.kind == "f" or (scale is not None and len(scale) > 0)


@functools.cache
def _kinds() -> dict[int, Any]:
    from ai_edge_litert import schema_py_generated as schema

    of = schema.TensorType
    return {of.FLOAT32: np.float32, of.FLOAT16: np.float16, of.INT64: np.int64, of.INT32: np.int32, of.INT16: np.int16,
            of.INT8: np.int8, of.UINT8: np.uint8, of.BOOL: np.bool_}  # fmt: skip


def operator_name(model: Any, operator: Any) -> str:
    """The kind of an operator as TFLite's schema calls it, such as "FULLY_CONNECTED"; a custom one's own name."""
    from ai_edge_litert import schema_py_generated as schema

    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return str(code.customCode.decode())
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next(name for name, value in vars(schema.BuiltinOperator).items() if value == number)


def _parsed(path: Path) -> Any:
    from edgett.export.flatbuffer import parsed

    try:
        return parsed(path.read_bytes())
    except ValueError as error:
        raise ToolError(f"{path} is no TFLite model: {error}.", "Export it again.") from error


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in tensor.shape) if tensor.shape is not None else ()


def _known(indices: Any, sizes: dict[str, int]) -> tuple[str, ...]:
    return tuple(str(index) for index in indices if str(index) in sizes)
