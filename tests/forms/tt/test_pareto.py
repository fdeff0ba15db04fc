"""The Pareto set against a listing of every solution with every rank."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.errors import UsageError
from edgett.forms import cost
from edgett.forms.factors import divisors
from edgett.forms.front import ONE, Front, Search
from edgett.forms.site import Estimate, Layer
from edgett.forms.tt import pareto
from edgett.forms.tt.error import Spectra
from edgett.forms.tt.pareto import front, units
from edgett.forms.tt.shape import TTShape
from tests.search.enumeration import pairs

Point = tuple[int, int, int]


def spectra(layer: Layer, max_rank: int, seed: int = 0) -> Spectra:
    """Cuts that fall with the rank, otherwise arbitrary: the search must not rely on where they come from."""
    p, q = np.array(divisors(layer.inputs)), np.array(divisors(layer.outputs))
    held = np.minimum(p[:, None] * q, layer.inputs * layer.outputs // (p[:, None] * q))
    fall = np.random.default_rng(seed).uniform(0.3, 1.0, (len(p), len(q), max_rank))
    cuts = np.concatenate([np.ones((len(p), len(q), 1)), np.cumprod(fall, axis=2)], axis=2)
    cuts[np.arange(max_rank + 1) >= held[..., None]] = 0
    return Spectra(tuple(p.tolist()), tuple(q.tolist()), cuts, cuts)


def every_shape(layer: Layer, search: Search) -> Iterator[TTShape]:
    """Every TT shape of the space, efficient or not."""
    for xs, ys in pairs(layer):
        for inputs, outputs in itertools.product(xs, ys):
            cells = [x * y for x, y in zip(inputs, outputs, strict=True)]
            capacity = [min(math.prod(cells[:k]), math.prod(cells[k:])) for k in range(1, len(cells))]
            allowed = [
                {min(rank, most) for rank in range(search.rank_multiple, search.max_rank + 1, search.rank_multiple)}
                for most in capacity
            ]
            for inner in itertools.product(*allowed):
                ranks = (1, *inner, 1)
                if all(
                    after <= before * cell and before <= cell * after
                    for before, cell, after in zip(ranks[:-1], cells, ranks[1:], strict=True)
                ):
                    yield TTShape(inputs, outputs, ranks)


def loss(shape: TTShape, known: Spectra, estimate: Estimate) -> int:
    cuts = []
    for k in range(1, shape.length):
        p, q = math.prod(shape.inputs[:k]), math.prod(shape.outputs[:k])
        cuts.append(float(known.cuts[known.inputs.index(p), known.outputs.index(q), shape.ranks[k]]))
    losses = [round(-math.log1p(-min(cut, 1 - 1e-15)) * ONE) for cut in cuts]
    return max(losses) if estimate is Estimate.LARGEST_CUT else sum(losses)


def plain(layer: Layer, known: Spectra, search: Search) -> tuple[int, set[Point]]:
    """How many solutions there are, and the undominated (params, FLOPs, loss) among those below dense."""
    shapes = list(every_shape(layer, search))
    dense = cost.dense(layer)
    points = set()
    for shape in shapes:
        costs = cost.held(layer, shape)
        if costs.params >= dense.params or costs.flops >= dense.flops:
            continue
        if search.most_moved is not None and costs.moved_elements > search.most_moved:
            continue
        points.add((costs.params, costs.flops, loss(shape, known, search.estimate)))
    array = np.array(sorted(points), np.int64).reshape(-1, 3)
    beaten = [((array <= row).all(axis=1) & (array < row).any(axis=1)).any() for row in array]
    return len(shapes), {tuple(row) for row, out in zip(array.tolist(), beaten, strict=True) if not out}


def points_of(found: Front) -> list[Point]:
    return [(each.params, each.flops, round(lost * ONE)) for each, lost in zip(found.costs, found.losses, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("estimate", Estimate)
@pytest.mark.parametrize(
    ("size", "search"),
    [
        ((48, 36), Search(1, 4)),
        ((64, 64), Search(4, 16)),
        ((36, 120), Search(3, 12)),
        ((16, 64), Search(2, 9)),
        ((32, 48), Search(5, 5)),
    ],
)
def test_equals_the_listing(size: tuple[int, int], search: Search, estimate: Estimate) -> None:
    layer, search = Layer("fc", *size), replace(search, estimate=estimate)
    known = spectra(layer, search.max_rank)
    count, points = plain(layer, known, search)
    found = front(layer, known, search)
    assert found.solutions == count
    assert sorted(points_of(found)) == sorted(points)
    assert found.epsilon == 0
    for shape, costs, lost in zip(found.specs, found.costs, found.losses, strict=True):
        assert costs == cost.held(layer, shape)
        assert round(lost * ONE) == loss(shape, known, estimate)


@settings(max_examples=25)
@given(st.integers(4, 40), st.integers(4, 40), st.booleans(), st.integers(1, 4), st.integers(0, 6), st.integers(0, 5))
def test_equals_the_listing_anywhere(x: int, y: int, bias: bool, multiple: int, more: int, seed: int) -> None:
    layer, search = Layer("fc", x, y, bias), Search(multiple, multiple + more)
    known = spectra(layer, search.max_rank, seed)
    count, points = plain(layer, known, search)
    found = front(layer, known, search)
    assert found.solutions == count
    assert sorted(points_of(found)) == sorted(points)
    assert bool(found.reason) == (not points)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_bounds_on_what_is_held_and_moved(share: float) -> None:
    layer = Layer("fc", 48, 64)
    known = spectra(layer, 8)
    free = front(layer, known, Search(2, 8))
    peaks, moved = ([getattr(each, name) for each in free.costs] for name in ("peak_elements", "moved_elements"))
    most_moved = int(min(moved) + share * (max(moved) - min(moved)))
    _, points = plain(layer, known, Search(2, 8, most_moved=most_moved))
    bounded = front(layer, known, Search(2, 8, most_moved=most_moved))
    assert sorted(points_of(bounded)) == sorted(points)
    assert max(each.moved_elements for each in bounded.costs) <= most_moved

    most_peak = int(min(peaks) + share * (max(peaks) - min(peaks)))
    bounded = front(layer, known, Search(2, 8, most_peak=most_peak))
    assert bounded.solutions < free.solutions
    assert max(each.peak_elements for each in bounded.costs) <= most_peak
    kept = {point for point, peak in zip(points_of(free), peaks, strict=True) if peak <= most_peak}
    assert kept <= set(points_of(bounded))


def test_a_bound_that_nothing_keeps_is_said() -> None:
    layer = Layer("fc", 48, 64)
    found = front(layer, spectra(layer, 8), Search(2, 8, most_peak=100))
    assert len(found) == 0
    assert found.reason == "48x64: none of its solutions is smaller and cheaper than dense and inside the bounds"


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_what_is_left_out_has_one_nearly_as_good(epsilon: float) -> None:
    layer = Layer("fc", 256, 144)
    known = spectra(layer, 16)
    whole, thin = front(layer, known, Search(4, 16)), front(layer, known, Search(4, 16, epsilon=epsilon))
    assert len(thin) < len(whole) or epsilon < 0.1
    assert thin.epsilon == pytest.approx((1 + epsilon) ** 6 - 1)
    dense, kept = cost.dense(layer), np.array(points_of(thin), np.float64)
    for point in points_of(whole):
        if max(point[0] / dense.params, point[1] / dense.flops) * (1 + thin.epsilon) < 1:
            assert (kept <= np.array(point) * (1 + thin.epsilon)).all(axis=1).any()


def test_a_front_beyond_memory_is_thinned_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, search = Layer("fc", 256, 144), Search(4, 16, Estimate.KEPT_ENERGY)
    known = spectra(layer, 16)
    whole = front(layer, known, search)
    monkeypatch.setattr(pareto, "MOST_PARTIAL", 2000)
    thin = front(layer, known, search)
    assert whole.epsilon == 0
    assert thin.epsilon > 0
    assert 0 < len(thin) < len(whole)


def test_a_large_space_is_counted_exactly_and_searched_in_a_moment() -> None:
    layer = Layer("fc", 1024, 1024)
    heard: list[int] = []
    found = front(layer, spectra(layer, 64), Search(), heard.append)
    assert found.solutions > 10**9
    assert sum(heard) == units(layer)
    assert all(rank % 4 == 0 or rank < 64 for shape in found.specs for rank in shape.ranks)
    assert list(points_of(found)) == sorted(points_of(found))


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((2, 2), "2x2: no two factorisations of the same length: 2 is prime"),
        ((13, 64), "13x64: no two factorisations of the same length: 13 is prime"),
        ((4, 4), "4x4: none of its 1 solutions is smaller and cheaper than dense"),
        ((65536, 8192), "65536x8192: 536870912 weights, more than the 268435456 that can be explored"),
    ],
)
def test_a_layer_with_nothing_to_offer_says_why(size: tuple[int, int], reason: str) -> None:
    layer = Layer("fc", *size)
    known = Spectra(tuple(divisors(size[0])), tuple(divisors(size[1])), *np.zeros((2, 30, 30, 65)))
    assert front(layer, known, Search()).reason == reason


def test_spectra_of_something_else_are_refused() -> None:
    layer = Layer("fc", 48, 36)
    with pytest.raises(ValueError, match=r"spectra of 48x36 up to rank 8 do not serve .* max_rank=64"):
        front(layer, spectra(layer, 8), Search())
    with pytest.raises(ValueError, match="spectra of 48x36"):
        front(Layer("fc", 36, 48), spectra(layer, 8), Search(4, 8))


@pytest.mark.parametrize(
    ("multiple", "most", "message"),
    [
        (0, 64, "A rank multiple of 0 is below 1."),
        (100, 64, "No rank is a multiple of 100 and at most 64."),
        (4, 5000, "--max-rank 5000 is above 1024."),
    ],
)
def test_ranks_that_make_no_sense(multiple: int, most: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Search(multiple, most)
    assert str(caught.value).startswith(message)
