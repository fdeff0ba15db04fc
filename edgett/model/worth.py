"""Step 1: which layers of a model are worth factorising."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from edgett.errors import ModelError, UsageError
from edgett.forms.site import Found, Layer
from edgett.model import keras_compat, kinds
from edgett.model.kinds import KINDS
from edgett.model.kinds.kind import Kind
from edgett.model.layers import first_calls
from edgett.model.trace import Call, Trace, trace


@dataclass(frozen=True)
class Wish:
    """What the user asks of step 1: the share of the parameters below which layers are left alone; layers by name."""

    share: float = 0.10
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


def replaceable(model: keras.Model, wish: Wish = Wish(), of: Sequence[Kind] = KINDS) -> tuple[Found, ...]:
    """Find the layers whose weights may be replaced, nested ones included, in the order of the calls (step 1).

    Args:
        model: a Sequential or functional model.
        wish: which layers the user wants replaced.
        of: the kinds of layers that are looked for.

    Returns:
        Each layer of a kind, with the reason if it stays.

    Raises:
        UsageError: when `wish` names a layer that the model does not have.
        ModelError: for a model that cannot be opened, and for a layer without weights.
    """
    flow = trace(model)
    total = model.count_params()
    dense = {id(call.layer): call for call in first_calls(flow, of)}
    judged = [Found(_value(call), _barred(call, flow, wish)) for call in dense.values()]
    held = Counter(_size(item.layer) for item in judged if item.excluded is None)
    found = [item if item.excluded or wish.only else _weighed(item, held, wish, total) for item in judged]
    found += [
        Found(_value(Call(layer.name, layer, (), {}, ())), "it sits inside a layer that edgett cannot open")
        for layer in keras_compat.nested(model, itself=False)
        if kinds.is_any(layer, of) and layer.built and id(layer) not in dense
    ]
    _refuse_unknown((*wish.only, *wish.skip), [item.layer.name for item in found])
    return tuple(found)


def _barred(call: Call, flow: Trace, wish: Wish) -> str | None:
    """Why a layer is left alone, however large it is."""
    reason = _unfit(call, flow)
    if reason is None and wish.only and not _named(call.path, wish.only):
        reason = "--only-layer names others"
    if reason is None and _named(call.path, wish.skip):
        reason = "--skip-layer names it"
    return reason


def _weighed(found: Found, held: Mapping[tuple[int, int, bool], int], wish: Wish, total: int) -> Found:
    """The layer, left alone where it and all of its size that may be factorised hold too few of the parameters.

    What is small alone may be much together, and layers of one size take the same shapes.
    """
    inputs, outputs, bias = _size(found.layer)
    alike = held[inputs, outputs, bias]
    share = alike * (inputs * outputs + outputs * bias) / total
    if share >= wish.share:
        return found
    what = "it holds" if alike == 1 else f"it and the {alike - 1} others of its size hold"
    return Found(
        found.layer, f"{what} {share:.1%} of the parameters, under the {wish.share:.0%} that make a layer worth it"
    )


def _size(layer: Layer) -> tuple[int, int, bool]:
    return layer.inputs, layer.outputs, layer.bias


def _unfit(call: Call, flow: Trace) -> str | None:
    """Why a layer cannot be swapped at all, whatever the user wishes."""
    layer, found = call.layer, kinds.sites(call)
    if isinstance(found, str):
        return found
    paths = list(dict.fromkeys(other.path for other in flow.calls_of(layer)))
    if len(paths) > 1:
        return f"{' and '.join(paths)} are one layer, which different models share"
    for other in flow.calls:
        if other.layer is not layer and layer in _inside(other.layer):
            return f"it is also part of {other.path!r}, which edgett cannot open"
    axes = list(dict.fromkeys(other.reads[0].shape[1:-1] for other in flow.calls_of(layer)))
    if len(axes) > 1:
        return f"it is called with {' and '.join(map(_axes, axes))}; only layers of one sort of input are factorised"
    if axes[0] and any(map(keras_compat.is_masked, keras_compat.read(layer))):
        return "its input has a mask, which the plain layers of the saved model would not hand on"
    return None


def _axes(between: tuple[int, ...]) -> str:
    return f"{'x'.join(map(str, between))} positions" if between else "single rows"


def _inside(layer: Any) -> list[Any]:
    """The layers that a layer holds; none for a bare operation."""
    return keras_compat.nested(layer, itself=False) if isinstance(layer, keras.layers.Layer) else []


def _value(call: Call) -> Layer:
    """What a layer holds, whether it can be replaced or not."""
    layer = call.layer
    if not layer.built:
        raise ModelError(f"layer {call.path!r} has no weights yet.", "Call the model once before it is saved.")
    found = kinds.sites(call)
    if not isinstance(found, str):
        return found[0]
    *inputs, outputs = (layer.kernel if hasattr(layer, "kernel") else layer.pointwise_kernel).shape
    return Layer(call.path, math.prod(inputs), outputs, getattr(layer, "bias", None) is not None)


def _named(path: str, names: Collection[str]) -> bool:
    return path in names or path.rsplit("/", 1)[-1] in names


def _refuse_unknown(wished: Collection[str], paths: Collection[str]) -> None:
    for name in wished:
        if not any(_named(path, [name]) for path in paths):
            raise UsageError(
                f"the model has no layer to factorise named {name!r}.", f"It has: {', '.join(paths) or 'none'}."
            )
