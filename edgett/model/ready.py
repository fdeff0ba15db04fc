"""A loaded model made ready: of numbers only, of known size, and nothing of it quietly left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from edgett.errors import ModelError, UsageError
from edgett.model.layers import in_float32, resized
from edgett.model.portable import recognised
from edgett.model.ports import Port, input_ports
from edgett.model.trace import trace

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of a sample by the input's name; of the only input by ""."""


def ready(model: keras.Model, shapes: Shapes, say: Callable[[str], None]) -> keras.Model:
    """The model in float32, with inputs of these shapes where its own are open; what that changes is said.

    So is a training step of its own, which is not called. Raises ModelError for what cannot be worked with.
    """
    _refuse_not_finite(model)
    step = type(model).train_step
    if step is not keras.Model.train_step:
        say(f"Model {model.name!r} has a training step of its own, which is not called: its loss is minimised instead.")
    given = recognised(model)
    plain = in_float32(given)
    if plain is not given:
        say("The model is not in float32: it is worked on and exported in float32.")
    return _sized(plain, shapes)


def _refuse_not_finite(model: keras.Model) -> None:
    for call in trace(model).calls:
        for weight in getattr(call.layer, "weights", ()):
            array = np.asarray(weight)
            if array.dtype.kind == "f" and not np.isfinite(array.min(initial=0) + array.max(initial=0)):
                bad = int((~np.isfinite(array)).sum())
                raise ModelError(
                    f"weight {weight.name!r} of layer {call.path!r} has {bad:,} of {array.size:,} values that are NaN"
                    " or infinite.",
                    "Train it again with a lower learning rate, or take weights of an earlier epoch.",
                )


def _sized(model: keras.Model, shapes: Shapes) -> keras.Model:
    ports = input_ports(model)
    wanted = _named(ports, shapes)
    for port in ports:
        shape = wanted.get(port.name)
        if shape is not None and not port.fits(shape):
            raise UsageError(
                f"--input-shape {_text(shape)} does not fit input {port.name!r}, which takes {port}.",
                "Give the sizes of a sample, without n.",
            )
        if shape is None and None in port.shape:
            raise _unknown(port, len(ports) > 1)
    if all(None not in port.shape for port in ports):
        return model
    try:
        result = resized(model, [wanted.get(port.name, port.shape) for port in ports])
        fixed = trace(result, 1)
    except (TypeError, ValueError, ModelError) as error:
        text = " ".join(getattr(error, "message", str(error)).split()).rsplit("Exception encountered: ", 1)[-1]
        raise ModelError(
            f"model {model.name!r} cannot take --input-shape {', '.join(map(_text, wanted.values()))}: {text[:300]}",
            "Give the sizes that it was trained with.",
        ) from error
    _refuse_open([tensor for call in fixed.calls for tensor in call.writes], model)
    return result


def _refuse_open(tensors: Sequence[Any], model: keras.Model) -> None:
    if any(None in tensor.shape for tensor in tensors):
        raise ModelError(
            f"model {model.name!r} makes tensors whose size depends on their values.",
            "An exported model has fixed sizes: rebuild it without.",
        )


def _named(ports: Sequence[Port], shapes: Shapes) -> Shapes:
    names = [port.name for port in ports]
    for name in shapes:
        if name and name not in names:
            raise UsageError(f"--input-shape {name}=...: the model has no such input.", f"It has: {', '.join(names)}.")
    if "" in shapes and len(ports) > 1:
        raise UsageError(
            f"--input-shape {_text(shapes[''])} does not say which of the inputs {', '.join(names)} it is for.",
            f"Write --input-shape {names[0]}={_text(shapes[''])}.",
        )
    return {name or names[0]: shape for name, shape in shapes.items()}


def _unknown(port: Port, several: bool) -> ModelError:
    axes = [str(axis) for axis, size in enumerate(port.shape, 1) if size is None]
    example = _text([32 if size is None else size for size in port.shape])
    return ModelError(
        f"input {port.name!r} takes {port}: {'dimension' if len(axes) == 1 else 'dimensions'} {', '.join(axes)} can be"
        " of any size, and an exported model has fixed ones.",
        f"Name the size of a sample, such as --input-shape {f'{port.name}=' if several else ''}{example}",
    )


def _text(shape: Sequence[int | None]) -> str:
    return ",".join(map(str, shape))
