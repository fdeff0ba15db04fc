"""What arrays must be before a model may see them; a DataError otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping

import keras
import numpy as np

from edgett.errors import DataError
from edgett.model.ports import Port
from edgett.model.trace import trace
from edgett.train.metrics import Labels, Loss


def check_numbers(name: str, array: np.ndarray) -> None:
    """Real numbers, at least one, all finite."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {array.dtype}, not numbers.", "Convert it to a numeric dtype.")
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{name} is empty: its shape is {array.shape}.", "Give at least one sample.")
    # min and max pass a NaN on and take no memory.
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):
        bad = ~np.isfinite(array)
        first = _first(bad)
        raise DataError(
            f"{name} has {bad.sum()} values that are NaN or infinite, the first is {array[first]} at {list(first)}.",
            "Remove or replace them.",
        )


def check_lengths(arrays: Mapping[str, np.ndarray]) -> None:
    """As many rows in every array."""
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise DataError(f"inputs and labels differ in samples: {listed}.", "Give one row a sample in each.")


def check_input(name: str, array: np.ndarray, port: Port) -> None:
    """Of the shape that the input takes."""
    if not port.fits(array.shape[1:]):
        raise DataError(
            f"{name} has shape {array.shape}, but input {port.name!r} of the model takes {port}.",
            _reshaping(name, array.shape[1:], port),
        )
    if not port.dtype.startswith(("int", "uint")):
        return
    if array.dtype.kind == "f" and (array != np.floor(array)).any():
        raise DataError(
            f"{name} holds fractions in {array.dtype}, but input {port.name!r} takes {port.dtype}.",
            "Round it yourself.",
        )
    limits = np.iinfo(port.dtype)
    if array.min() < limits.min or array.max() > limits.max:
        first = _first((array < limits.min) | (array > limits.max))
        raise DataError(
            f"{name} has {array[first]} at {list(first)}, but input {port.name!r} takes {port.dtype}, from {limits.min}"
            f" to {limits.max}.",
            "Give numbers that fit, or a model that takes larger ones.",
        )


def check_indices(model: keras.Model, arrays: Mapping[str, tuple[str, np.ndarray]]) -> None:
    """Indices that the tables have which look them up: `arrays` are those of inputs, (input, array) by their names."""
    read = _looked_up(model)
    for name, (port, array) in arrays.items():
        for layer, size in read.get(port, {}).items():
            if array.min() < 0 or array.max() >= size:
                first = _first((array < 0) | (array >= size))
                raise DataError(
                    f"{name} has the index {array[first]} at {list(first)}, but layer {layer!r} knows 0 to {size - 1}.",
                    "Give indices that the model was trained with.",
                )


def _looked_up(model: keras.Model) -> dict[str, dict[str, int]]:
    """By input, the layers that take its values for indices, as they are, and how many they know."""
    flow = trace(model)
    origin = {id(tensor): name for name, tensor in flow.inputs.items()}
    found: dict[str, dict[str, int]] = {}
    for call in flow.calls:
        source = origin.get(id(call.reads[0])) if call.reads else None
        if source is None:
            continue
        if isinstance(call.layer, _REARRANGING) or type(call.layer).__name__ in _REARRANGING_OPERATIONS:
            origin[id(call.writes[0])] = source
        elif isinstance(call.layer, keras.layers.Embedding):
            found.setdefault(source, {})[call.path] = call.layer.input_dim
        elif isinstance(call.layer, keras.layers.CategoryEncoding):
            found.setdefault(source, {})[call.path] = call.layer.num_tokens
    return found


_REARRANGING = (
    keras.layers.Flatten,
    keras.layers.Identity,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.Reshape,
)
_REARRANGING_OPERATIONS = frozenset({"Cast", "ExpandDims", "Reshape", "Squeeze", "Transpose"})


def _reshaping(name: str, shape: tuple[int, ...], port: Port) -> str:
    sizes = [size for size in port.shape if size is not None]
    if len(sizes) < len(port.shape):
        return "Reshape it, or pass a model that takes it."
    if port.fits((*shape, 1)):
        return f"Add the channel axis: {name}[..., np.newaxis]."
    if port.fits(shape[1:] + shape[:1]):
        return f"Put the channels last: np.moveaxis({name}, 1, -1)."
    if math.prod(sizes) == math.prod(shape):
        return f"Reshape it: {name}.reshape({', '.join(map(str, [-1, *sizes]))})."
    return "Resize it, or pass the model that belongs to it."


def check_labels(name: str, array: np.ndarray, port: Port, loss: Loss) -> None:
    """Labels as the loss takes them."""
    if loss.labels is Labels.ANY:
        return
    per_class = loss.labels is Labels.CLASSES
    wanted = Port(port.name, port.shape[:-1] if per_class else port.shape, port.dtype)
    if not wanted.fits(array.shape[1:]):
        raise DataError(
            f"{name} has shape {array.shape}, but {loss.name} at output {port.name!r} takes {loss.labels.value} "
            f"of shape {wanted}.",
            _relabelling(name, array, port, per_class),
        )
    limits = {
        Labels.CLASSES: (0, (port.shape[-1] or math.inf) - 1),
        Labels.ONE_HOT: (0, 1),
        Labels.BINARY: (0, 1),
        Labels.SIGNS: (-1, 1),
    }.get(loss.labels)
    if limits is None:
        return
    outside = (array < limits[0]) | (array > limits[1])
    if per_class and array.dtype.kind == "f":
        outside |= array != np.floor(array)
    if outside.any():
        first = _first(outside)
        raise DataError(
            f"{name} has the label {array[first]} at {list(first)}, but {loss.name} at output {port.name!r} takes "
            f"{loss.labels.value} in {limits[0]}..{limits[1]}.",
            "Number the classes from 0." if per_class else "Scale or encode the labels.",
        )


def _relabelling(name: str, array: np.ndarray, port: Port, per_class: bool) -> str:
    if per_class and port.fits(array.shape[1:]):
        return f"They are one-hot: pass {name}.argmax(-1), or compile with categorical_crossentropy."
    if not per_class and array.ndim == len(port.shape) and array.dtype.kind in "iu":
        return (
            f"They are class numbers: pass keras.utils.to_categorical({name}, {port.shape[-1]}), "
            "or compile with sparse_categorical_crossentropy."
        )
    return "Reshape the labels, or compile the model with the loss that takes them."


def _first(marked: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(marked.argmax(), marked.shape))
