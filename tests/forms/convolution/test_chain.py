"""Chains of convolutions: what they compute, what they cost, what they refuse, and how documents hold them."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgett.errors import ModelError
from edgett.forms import catalogue, cost
from edgett.forms.convolution.chain import Chain, multiples
from edgett.forms.convolution.channel_svd import ChannelSVD, Side
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.form import Chained
from edgett.forms.convolution.pointwise_svd import PointwiseSVD
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.convolution.tt_conv import TTConv
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.operators import Convolve
from edgett.forms.site import Layer
from edgett.forms.window import Padding, Window
from tests.forms.convolution.cases import PLAIN, POINT, chains, convolved, separately, weight_of

WINDOWS = (
    PLAIN,
    Window((3, 3), (5, 6), strides=(2, 2)),
    Window((3, 3), (5, 6), padding=Padding.VALID),
    Window((3, 2), (7, 5), strides=(2, 1), padding=Padding.VALID),
    Window((3, 3), (7, 7), dilation=(2, 2)),
    Window((1, 5), (1, 9), strides=(1, 2)),
    Window((2, 2), (7, 7), strides=(3, 3)),
    POINT,
    Window((1, 1), (5, 6), strides=(2, 2)),
)
EVERY = pytest.mark.parametrize(
    "spec", [spec for window in WINDOWS for spec in chains(window)], ids=lambda spec: f"{spec} {spec.window.strides}"
)
KINDS = (PointwiseSVD, SpatialSVD, CP, ChannelSVD, Tucker2, TTConv)


@EVERY
def test_one_link_after_the_other_is_the_convolution(spec: Chain) -> None:
    random = np.random.default_rng(2)
    factors = [random.normal(size=shape) for shape in spec.factors]
    images = random.normal(size=(2, *spec.window.size, spec.inputs))
    made, multiplied = images, 0
    for operator in spec.plan(2):
        assert isinstance(operator, Convolve)
        made = (separately if operator.depthwise else convolved)(made, factors[operator.factor], operator.window)
        assert made.size == operator.writes
        multiplied += made[..., 0].size * factors[operator.factor].size
    whole = spec.rebuild(factors).reshape(*spec.window.kernel, spec.inputs, spec.outputs)
    np.testing.assert_allclose(made, convolved(images, whole, spec.window), rtol=1e-9, atol=1e-9)
    layer = Layer("c", *spec.matrix, positions=spec.window.positions, window=spec.window)
    held = cost.held(layer, spec)
    assert 2 * held.macs == multiplied
    assert held.params == sum(factor.size for factor in factors) + spec.outputs
    assert held.flops == 2 * held.macs + spec.window.positions * spec.outputs


@EVERY
def test_a_decomposition_lies_in_the_bracket(spec: Chain) -> None:
    weight = weight_of(spec)
    bracket = spec.error(weight)
    error = np.linalg.norm(spec.dense(spec.best(weight)) - weight) / np.linalg.norm(weight)
    assert 0 < bracket.low <= error + 1e-6 and error == pytest.approx(bracket.high, abs=1e-5)


@EVERY
def test_documents_hold_it(spec: Chain) -> None:
    written = json.loads(json.dumps(catalogue.document(spec)))
    assert catalogue.read(written) == spec and written["window"]["kernel"] == list(spec.window.kernel)
    hostile: list[Any] = [None, [], {}, "same", 3, {**written["window"], "more": 1}]
    hostile += [
        {**written["window"], name: value}
        for name, values in {
            "kernel": [[3], [3, 3, 3], [3, -1], [3, 0], [3.0, 3], "33", [1 << 70, 1], [[3], 3], [True, 1]],
            "padding": ["full", None, 1, ["same"]],
            "strides": [[0, 1], {}, None],
        }.items()
        for value in values
    ]
    for window in hostile:
        with pytest.raises(ValueError):  # noqa: PT011 - whatever the form says
            catalogue.read({**written, "window": window})


def test_what_a_document_says_of_a_window() -> None:
    assert catalogue.document(SpatialSVD(PLAIN, 4, 6, 3)) == {
        "form": "spatial_svd",
        "window": {"kernel": [3, 3], "size": [5, 6], "strides": [1, 1], "dilation": [1, 1], "padding": "same"},
        "inputs": 4,
        "outputs": 6,
        "rank": 3,
    }


@pytest.mark.parametrize(
    ("spec", "name", "most"),
    [
        (PointwiseSVD(POINT, 4, 6, 1), "rank", 4),
        (SpatialSVD(PLAIN, 4, 6, 1), "rank", 12),
        (CP(PLAIN, 4, 6, 1), "rank", 24),
        (ChannelSVD(PLAIN, 4, 6, 1, Side.INPUTS), "rank", 4),
        (ChannelSVD(PLAIN, 4, 6, 1, Side.OUTPUTS), "rank", 6),
        (Tucker2(PLAIN, 4, 6, 1, 5), "first", 4),
        (Tucker2(PLAIN, 4, 20, 1, 1), "second", 9),
        (TTConv(PLAIN, 4, 6, 1, 3, 6), "first", 4),
        (TTConv(PLAIN, 4, 6, 3, 6, 3), "second", 9),
        (TTConv(PLAIN, 4, 6, 1, 1, 1), "third", 3),
    ],
)
def test_ranks_that_make_no_sense(spec: Chain, name: str, most: int) -> None:
    assert replace(spec, **{name: most}).ranks
    for rank in (0, -1, most + 1):
        with pytest.raises(ValueError, match=r"must be from 1 to"):
            replace(spec, **{name: rank})
    with pytest.raises(ValueError, match="channels"):
        replace(spec, inputs=0)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.form)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (4, 20), (20, 4)])
def test_every_spec_of_a_layer_can_be_made_once(kind: type[Chain], window: Window, inputs: int, outputs: int) -> None:
    layer = Layer("c", window.taps * inputs, outputs, positions=window.positions, window=window)
    if kind.unfit(layer) is not None:
        return
    every = list(kind.every(layer, 1))
    assert every and len(set(every)) == len(every)
    assert all(spec.matrix == (layer.inputs, layer.outputs) for spec in every)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.form)
def test_why_a_layer_has_no_such_form(kind: type[Chain]) -> None:
    form = Chained(kind)
    assert form.unfit(Layer("fc", 24, 24)) == "24x24: it is no convolution"
    line, point = Window((1, 3), (1, 9)), Layer("c", 12, 12, positions=30, window=POINT)
    told = form.unfit(point), form.unfit(Layer("c", 36, 12, positions=9, window=line))
    assert (told[0] is None) == (kind is PointwiseSVD) and (told[1] is None) == (kind in (CP, ChannelSVD, Tucker2))
    assert catalogue.unfit(point) is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.form)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_layer_is_unfit_where_none_of_its_chains_is_smaller(kind: type[Chain], window: Window) -> None:
    for inputs, outputs in itertools.product(range(1, 6), repeat=2):
        layer = Layer("c", window.taps * inputs, outputs, positions=window.positions, window=window)
        if kind.unfit(layer) is None:
            smaller = any(sum(map(math.prod, spec.factors)) < layer.inputs * outputs for spec in kind.every(layer, 1))
            told = None if smaller else f"{layer.size}: no chain of smaller convolutions is smaller"
            assert Chained(kind).unfit(layer) == told


def test_dense_forms_leave_convolutions_alone() -> None:
    layer = Layer("c", 9 * 8, 16, positions=30, window=PLAIN)
    for form in catalogue.FORMS[:2]:
        assert form.unfit(layer) == "3x3x8x16@5x6: it is a convolution"
    assert "convolution" not in str(catalogue.unfit(Layer("fc", 1, 1)))


def test_ranks_are_multiples_of_a_number_where_there_are_many() -> None:
    assert multiples(10, 4) == [*range(1, 11)] and multiples(40, 4) == [*range(4, 41, 4)] and multiples(0, 4) == []
    some = multiples(512, 4, 10)
    assert len(some) == 10 and (some[0], some[-1]) == (4, 512) and all(rank % 4 == 0 for rank in some)


@EVERY
def test_weights_with_nothing_to_cut_and_weights_that_are_none(spec: Chain) -> None:
    zeros = np.zeros(spec.matrix, np.float32)
    assert spec.error(zeros).high == 0 and not spec.dense(spec.best(zeros)).any()
    with pytest.raises(ModelError, match="NaN or infinite"):
        spec.error(np.full(spec.matrix, np.nan, np.float32))
    with pytest.raises(ValueError, match="cannot take"):
        spec.best(zeros[1:])
