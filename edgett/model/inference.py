"""The inference form of a model: what is left of it on a device.

Dropout is gone; batch normalisation, rescaling and normalisation are one multiplication and one addition, and those are
folded into the neighbouring dense or convolutional weights wherever the arithmetic allows. What is exported is this
form, so the converters find nothing to fold and the files hold what was predicted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from edgett.graph.graph import Graph, Step
from edgett.graph.order import lightest
from edgett.model.activations import of_layer
from edgett.model.affine import Affine, Cast, as_affine
from edgett.model.convolved import Convolved
from edgett.model.factored import Factored
from edgett.model.folding import (
    CONVOLUTIONS,
    PRODUCTS,
    SPELLED_OUT,
    activated,
    folded,
    handed_on,
    is_idle,
    is_link,
    is_output,
    is_product,
    spliced,
    twin_of,
)
from edgett.model.plain import as_plain, grouped, is_grouped
from edgett.model.trace import Call, Trace, trace

_L = keras.layers
_IDLE = (
    _L.Dropout,
    _L.GaussianNoise,
    _L.GaussianDropout,
    _L.AlphaDropout,
    _L.SpatialDropout1D,
    _L.SpatialDropout2D,
    _L.SpatialDropout3D,
    _L.ActivityRegularization,
    _L.Identity,
    *(
        getattr(_L, name)
        for name in "AugMix CutMix MixUp RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter "
        "RandomContrast RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue "
        "RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness "
        "RandomShear RandomTranslation RandomZoom".split()
        if hasattr(_L, name)  # younger Keras has more of them
    ),
)
_NORM = _L.BatchNormalization


def inference_form(
    model: keras.Model, batch: int = 1, held: frozenset[str] = frozenset(), *, untrained: bool = False
) -> Trace:
    """Reduce a model to what is left of it on a device, and exported: no dropout, no batch normalisation that folds.

    Args:
        model: a Sequential or functional model, Keras's own layers or layers in forms.
        batch: samples at a time.
        held: the paths of dense layers treated as if they were in a form: nothing is folded into their weights.
        untrained: whether the model is still to be trained: zeros are expected to become numbers like any other, for
            what is stored and computed then, not for what comes out.

    Returns:
        The calls that are left, in the order that they run.

    Raises:
        ModelError: for a model that is neither Sequential nor functional.
    """
    form = _with_links(trace(model, batch))
    held -= {call.path for call in form.calls if isinstance(call.layer, (*CONVOLUTIONS, *SPELLED_OUT))}
    if untrained:
        form = _without_zeros(form)
    for rewrite in (_without_idle, _with_plain, _with_affine, _with_casts, _with_functions, _without_zero_bias):
        form = rewrite(form)
    form = _with_loose_bias(form, held)
    for fold in (folded, handed_on, activated):
        while (smaller := fold(form, held)) is not form:
            form = smaller
    return _ordered(_with_groups(form))


def _with_links(form: Trace) -> Trace:
    """A convolution in a form as its links, which are plain layers of its path."""
    calls: list[Call] = []
    parts: dict[int, list[Any]] = {}
    for call in form.calls:
        if not isinstance(call.layer, Convolved):
            calls.append(call)
            continue
        plain = parts.setdefault(id(call.layer), call.layer.plain(call.reads[0].shape[1:]).layers[1:])
        (read,) = call.reads
        for part in plain[:-1]:
            made = keras.KerasTensor(part.compute_output_shape(read.shape), call.writes[0].dtype)
            calls.append(Call(call.path, part, (read,), {}, made))
            read = made
        calls.append(Call(call.path, plain[-1], (read,), {}, call.outputs))
    return replace(form, calls=tuple(calls))


def _ordered(form: Trace) -> Trace:
    """The calls in the order that keeps the least alive between them; Keras runs all branches abreast.

    By what goes in and out of the layers alone, so that those in a form leave the order as it is.
    """
    names = {id(tensor): name for name, tensor in form.inputs.items()}
    sizes = {name: math.prod(tensor.shape) for name, tensor in form.inputs.items()}
    steps, chains = [], _chains(form.calls)
    for chain in chains:
        first, last = chain[0], chain[-1]
        for tensor in last.writes:
            names[id(tensor)] = f"/{len(names)}"
            sizes[names[id(tensor)]] = math.prod(tensor.shape)
        reads, writes = (tuple(names[id(tensor)] for tensor in side) for side in (first.reads, last.writes))
        steps.append(Step(first.path, type(first.layer).__name__, reads, writes))
    outputs = tuple(names[id(tensor)] for tensor in form.outputs.values())
    order = lightest(Graph(tuple(steps), sizes, tuple(form.inputs), outputs))
    return replace(form, calls=tuple(call for index in order for call in chains[index]))


def _chains(calls: Sequence[Call]) -> list[list[Call]]:
    """The calls in their order, the links of a convolution together where the last of them stands."""
    chains: dict[int, list[Call]] = {}
    for call in calls:
        before = chains.get(id(call.reads[0])) if call.reads and is_link(call) else None
        linked = before is not None and before[-1].path == call.path
        chain = chains.pop(id(call.reads[0])) if linked else []
        chains[id(call.writes[0])] = [*chain, call]
    return list(chains.values())


def _without_idle(form: Trace) -> Trace:
    """Without what does nothing when a model infers; but integers that it made floats of are cast all the same."""
    idle = [call for call in form.calls if isinstance(call.layer, _IDLE)]
    casts = {id(call) for call in idle if call.reads[0].dtype != call.writes[0].dtype}
    calls = (
        replace(call, layer=Cast(name=call.layer.name), args=call.reads[:1], kwargs={}) if id(call) in casts else call
        for call in form.calls
    )
    form = replace(form, calls=tuple(calls))
    return spliced(form, [call for call in form.calls if isinstance(call.layer, _IDLE) or _keeps(call, form)])


def _keeps(call: Call, form: Trace) -> bool:
    """Whether a layer that gives another shape gives the same."""
    shaping = isinstance(call.layer, (_L.Flatten, _L.Reshape))
    return shaping and call.reads[0].shape == call.writes[0].shape and not is_output(call.writes[0], form)


def _with_plain(form: Trace) -> Trace:
    """Layers that are a plain one when a model infers, as that one."""
    plain: dict[int, Any] = {}
    for call in form.calls:
        if (layer := as_plain(call)) is not None:
            plain.setdefault(id(call.layer), layer)
    calls = (replace(call, layer=plain.get(id(call.layer), call.layer)) for call in form.calls)
    return replace(form, calls=tuple(calls))


def _with_casts(form: Trace) -> Trace:
    """Integers that go into a product are floats before, as Keras makes them."""
    calls: list[Call] = []
    for call in form.calls:
        source = call.reads[0] if call.reads else None
        if isinstance(call.layer, (*PRODUCTS, *SPELLED_OUT)) and source is not None and "float" not in source.dtype:
            made = keras.KerasTensor(source.shape, "float32")
            calls.append(Call(call.path, Cast(name=call.layer.name), (source,), {}, made))
            call = replace(call, args=(made, *call.args[1:]))
        calls.append(call)
    return replace(form, calls=tuple(calls))


def _with_affine(form: Trace) -> Trace:
    calls: list[Call] = []
    for call in form.calls:
        affine = as_affine(call)
        if affine is None:
            calls.append(call)
            continue
        (source,) = call.reads
        if "float" not in source.dtype:
            made = keras.KerasTensor(source.shape, "float32")
            calls.append(Call(call.path, Cast(name=affine.name), (source,), {}, made))
            source = made
        calls.append(Call(call.path, affine, (source,), {}, call.outputs))
    form = replace(form, calls=tuple(calls))
    return spliced(form, [call for call in calls if is_idle(call)])


def _with_functions(form: Trace) -> Trace:
    """Layers that are an activation and nothing else, whatever they are called, as one kind of layer."""
    calls = []
    for call in form.calls:
        function = of_layer(call.layer)
        layer = call.layer if function is None else _L.Activation(function, name=call.layer.name)
        calls.append(replace(call, layer=layer))
    return replace(form, calls=tuple(calls))


def _with_loose_bias(form: Trace, held: frozenset[str]) -> Trace:
    """The bias and the activation of a layer in a form stand behind it: an affine step of their own, in its name."""
    calls: list[Call] = []
    twins: dict[int, Any] = {}
    for call in form.calls:
        layer = call.layer
        if not (isinstance(layer, Factored) or call.path in held):
            calls.append(call)
            continue
        if id(layer) not in twins:
            weights = layer.get_weights()
            bare = weights[:-1] if layer.use_bias else weights
            twins[id(layer)] = twin_of(call, bare, use_bias=False, activation=keras.activations.linear)
        bias = np.asarray(layer.bias) if layer.use_bias else None
        late = Affine(None, bias, call.path.rsplit("/", 1)[-1], layer.activation)
        made = keras.KerasTensor(call.writes[0].shape, call.writes[0].dtype)
        calls.append(replace(call, layer=twins[id(layer)], outputs=made))
        calls.append(Call(call.path, late, (made,), {}, call.outputs))
    return spliced(replace(form, calls=tuple(calls)), [call for call in calls if is_idle(call)])


def _with_groups(form: Trace) -> Trace:
    """Convolutions in groups in a form that every converter knows."""
    twins: dict[int, Any] = {}
    for call in form.calls:
        if is_grouped(call.layer):
            twins.setdefault(id(call.layer), grouped(call))
    return _with(twins, form)


def _without_zeros(form: Trace) -> Trace:
    """Ones in place of weights that are all zeros, as biases are before training."""
    twins: dict[int, Any] = {}
    for call in form.calls:
        weights = call.layer.get_weights() if is_product(call.layer) or type(call.layer) is _NORM else []
        if any(not np.any(array) for array in weights) and id(call.layer) not in twins:
            twins[id(call.layer)] = twin_of(
                call, [array if np.any(array) else np.ones_like(array) for array in weights]
            )
    return _with(twins, form)


def _with(twins: Mapping[int, Any], form: Trace) -> Trace:
    """Twins in the place of layers, by their identity."""
    calls = (replace(call, layer=twins.get(id(call.layer), call.layer)) for call in form.calls)
    return replace(form, calls=tuple(calls))


def _without_zero_bias(form: Trace) -> Trace:
    """A bias of zeros adds nothing, and some converters drop it: drop it here, for all of them."""
    twins: dict[int, Any] = {}
    for call in form.calls:
        layer = call.layer
        if is_product(layer) and layer.use_bias and not np.any(layer.bias):
            twins.setdefault(id(layer), twin_of(call, layer.get_weights()[:-1], use_bias=False))
    return _with(twins, form)
