"""The spaces of layers of which no more than the size is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgett.errors import UsageError
from edgett.forms import catalogue, cost
from edgett.forms.front import Search, Space
from edgett.forms.site import Layer, parse_layer
from edgett.search import sized

LAYER = parse_layer("3x3x16x12@6x6")
FORMS = {"SVD", "spatial SVD", "CP", "channel SVD", "Tucker-2", "TT"}


def space(layer: Layer, search: Search) -> Space:
    (found,) = sized.explore([layer], search).taken
    return found


def test_all_that_is_smaller_and_cheaper_is_listed_with_what_it_costs() -> None:
    found, dense = space(LAYER, Search(rank_multiple=2)), cost.dense(LAYER)

    assert {spec.title for spec in found.specs} == FORMS - {"SVD"}
    assert len({*found.specs}) == len(found) < found.solutions
    for spec, each in zip(found.specs, found.costs, strict=True):
        assert each == cost.held(LAYER, spec)
        assert each.params < dense.params and each.flops < dense.flops
    cp = [spec for spec in found.specs if spec.form == "cp"]
    assert [spec.ranks for spec in cp] == [(rank,) for rank in range(2, 1 + 9 * 16 * 12 // (16 + 9 + 12), 2)]


@pytest.mark.slow
def test_whatever_the_weights_what_nothing_beats_is_among_them() -> None:
    search = Search(rank_multiple=4)
    found = space(LAYER, search)
    for seed in (0, 1):
        weight = np.random.default_rng(seed).normal(size=(LAYER.inputs, LAYER.outputs)).astype(np.float32)
        front = catalogue.front(LAYER, weight, search)
        assert front.solutions == found.solutions
        assert {*front.specs} <= {*found.specs}


def test_bounds_hold() -> None:
    free, bound = space(LAYER, Search()), space(LAYER, Search(most_peak=700))

    kept = [spec for spec, each in zip(free.specs, free.costs, strict=True) if each.peak_elements <= 700]
    assert 0 < len(kept) < len(free)
    assert (list(bound.specs), bound.solutions) == (kept, free.solutions)
    none = sized.explore([LAYER], Search(most_peak=10))
    assert none.taken == () and (none.solutions, none.efficient) == (0, 0)
    assert none.layers[0][0].excluded == "none of its solutions is smaller and cheaper than dense and inside the bounds"


def test_a_pointwise_convolution_and_a_sequence() -> None:
    assert {spec.title for spec in space(parse_layer("1x1x16x24@6x6"), Search()).specs} == {"SVD"}
    titles = {spec.title for spec in space(parse_layer("1x9x16x24@1x49"), Search()).specs}
    assert titles == {"CP", "channel SVD", "Tucker-2"}


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ("1x1x2x2@8x8", "no chain of smaller convolutions is smaller"),
        ("3x3x6000x6000@2x2", "324000000 weights, more than the 268435456 that can be explored"),
    ],
)
def test_a_layer_without_a_space_is_told_and_the_others_are_listed(size: str, told: str) -> None:
    found = sized.explore([parse_layer(size), LAYER, LAYER], Search())

    assert [item.excluded for item, _ in found.layers] == [told, None, None]
    assert [item.layer.name for item, _ in found.layers] == [size, LAYER.name, LAYER.name]
    (one, two) = found.taken
    assert one == two
    assert found.solutions == math.prod([one.solutions] * 2) and found.efficient == len(one) ** 2


def test_a_fully_connected_layer_is_refused() -> None:
    with pytest.raises(UsageError, match="64x48 is fully connected") as caught:
        sized.explore([LAYER, parse_layer("64x48")], Search())
    assert "--search grid" in caught.value.cure
