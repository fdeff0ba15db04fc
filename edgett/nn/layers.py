"""Step 1: which fully connected layers of a model are worth factorising; and swapping them for TT layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from edgett.errors import ModelError, UsageError
from edgett.nn.trace import Call, Trace, trace
from edgett.nn.tt_dense import TTDense
from edgett.values import Found, Layer, TTShape


@dataclass(frozen=True)
class Wish:
    """What the user asks of step 1: the share of the parameters below which a layer is left alone, and names."""

    share: float = 0.10
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


def fc_layers(model: keras.Model, wish: Wish = Wish()) -> tuple[Found, ...]:
    """Every `Dense` of the model in the order of the calls, nested ones included, each with the reason if it stays.

    Raises UsageError when `wish` names a layer that the model does not have.
    """
    flow = trace(model)
    total = model.count_params()
    dense: dict[int, Call] = {}
    for call in flow.calls:
        if isinstance(call.layer, keras.layers.Dense):
            dense.setdefault(id(call.layer), call)
    found = [_judge(call, flow, wish, total) for call in dense.values()]
    found += [
        Found(_value(layer, layer.name), "it sits inside a layer that edgett cannot open")
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.Dense) and layer.built and id(layer) not in dense
    ]
    _refuse_unknown((*wish.only, *wish.skip), [item.layer.name for item in found])
    return tuple(found)


def replace(model: keras.Model, shapes: Mapping[str, TTShape], cores: Mapping[str, Any] | None = None) -> keras.Model:
    """A copy of the model in which the layers named by `shapes` are TT layers, started from the trained weights.

    Names, other weights, optimiser, losses and metrics stay; `cores` gives the cores where they are known already.
    Raises ModelError when the model cannot be copied, ValueError when a shape is of another size than its layer.
    """
    targets = {id(layer): path for path, layer in _by_path(model).items() if path in shapes}
    if len(targets) != len(shapes):
        raise ValueError(f"no layers named {sorted(set(shapes) - set(targets.values()))}")
    twins: list[tuple[Any, Any]] = []

    def copy(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Layer):
            return layer
        path = targets.get(id(layer))
        if path is not None:
            return TTDense.from_dense(layer, shapes[path], (cores or {}).get(path))
        twin = layer.__class__.from_config(layer.get_config())
        twins.append((layer, twin))
        return twin

    try:
        clone = keras.models.clone_model(model, clone_function=_once(copy), recursive=True)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ModelError(
            f"model {model.name!r} cannot be copied: {error}", "Give every layer of yours a complete get_config()."
        ) from error
    for layer, twin in twins:
        if layer.weights:
            twin.set_weights(layer.get_weights())
    if model.compiled and not clone.compiled:
        clone.compile_from_config(model.get_compile_config())
    return clone


def tt_layers(model: keras.Model) -> dict[str, TTDense]:
    """The TT layers of a model by path."""
    return {call.path: call.layer for call in trace(model).calls if isinstance(call.layer, TTDense)}


def _judge(call: Call, flow: Trace, wish: Wish, total: int) -> Found:
    value = _value(call.layer, call.path)
    reason = _unfit(call, flow)
    if reason is None and wish.only and not _named(call.path, wish.only):
        reason = "--only-layer names others"
    if reason is None and _named(call.path, wish.skip):
        reason = "--skip-layer names it"
    share = (value.inputs * value.outputs + value.outputs * value.bias) / total
    if reason is None and not wish.only and share < wish.share:
        reason = f"it holds {share:.1%} of the parameters, under the {wish.share:.0%} that make a layer worth it"
    return Found(value, reason)


def _unfit(call: Call, flow: Trace) -> str | None:
    """Why a layer cannot be swapped at all, whatever the user wishes."""
    layer = call.layer
    if type(layer) is not keras.layers.Dense:
        return f"it is a {type(layer).__name__}, a kind of Dense of its own"
    if layer.quantization_mode is not None:
        return f"it is quantised ({layer.quantization_mode}); factorise the float model, then quantise"
    if layer.lora_enabled:
        return "it carries a LoRA adapter; merge that first"
    if layer.kernel_constraint is not None:
        return f"its kernel is constrained ({type(layer.kernel_constraint).__name__}), which cores cannot keep"
    ranks = sorted({len(other.reads[0].shape) for other in flow.calls_of(layer)})
    if ranks != [2]:
        return f"its input has {ranks[-1]} axes; only (batch, features) is factorised"
    return None


def _value(layer: Any, path: str) -> Layer:
    if not layer.built:
        raise ModelError(f"layer {path!r} has no weights yet.", "Call the model once before it is saved.")
    return Layer(path, int(layer.kernel.shape[0]), int(layer.units), bool(layer.use_bias))


def _by_path(model: keras.Model) -> dict[str, Any]:
    return {call.path: call.layer for call in trace(model).calls if isinstance(call.layer, keras.layers.Dense)}


def _once(copy: Any) -> Any:
    """A layer that the model calls several times, or holds at several places, is copied once."""
    copies: dict[int, Any] = {}

    def once(layer: Any) -> Any:
        if id(layer) not in copies:
            copies[id(layer)] = copy(layer)
        return copies[id(layer)]

    return once


def _named(path: str, names: Collection[str]) -> bool:
    return path in names or path.rsplit("/", 1)[-1] in names


def _refuse_unknown(wished: Collection[str], paths: Collection[str]) -> None:
    for name in wished:
        if not any(_named(path, [name]) for path in paths):
            raise UsageError(
                f"the model has no fully connected layer named {name!r}.", f"It has: {', '.join(paths) or 'none'}."
            )
