"""The joint Pareto set against a listing of every combination of the layers' fronts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.forms import cost
from edgett.forms.error import Bracket
from edgett.forms.front import ONE, Front, Search
from edgett.forms.site import Cost, Layer
from edgett.forms.tt.pareto import front
from edgett.forms.tt.shape import TTShape
from edgett.search import join, together
from edgett.search.together import Price, Share, Together
from tests.forms.tt.test_pareto import spectra

Point = tuple[int, int, int]

FREE = Share()
SEARCH = Search(2, 12)
SIZES = [(48, 36), (64, 24), (36, 64), (32, 32)]


def found(size: tuple[int, int], seed: int = 0, search: Search = SEARCH) -> Front:
    layer = Layer(f"{size[0]}x{size[1]}", *size)
    return front(layer, spectra(layer, search.max_rank, seed), search)


def made(layer: Layer, points: list[Point], epsilon: float = 0.0) -> Front:
    """A front of arbitrary costs and losses (in units of 1 / ONE): the joining must not rely on shapes."""
    shapes = tuple(TTShape((2, 2), (2, index + 2), (1, 1, 1)) for index in range(len(points)))
    costs = tuple(Cost(params, flops) for params, flops, _ in points)
    brackets = (Bracket(0.0, 0.0, 1.0),) * len(points)
    return Front(layer, 9, shapes, costs, tuple(lost / ONE for *_, lost in points), brackets, epsilon)


def options(front: Front, uses: int) -> list[Point]:
    """The dense layer, then the front."""
    dense = cost.dense(front.layer)
    points = [(dense.params, uses * dense.flops, 0)]
    return points + [
        (each.params, uses * each.flops, round(lost * ONE))
        for each, lost in zip(front.costs, front.losses, strict=True)
    ]


def sums(fronts: list[Front], uses: list[int]) -> dict[tuple[int, ...], Point]:
    """What every choice comes to, -1 for the dense layer; all of them dense is none."""
    every = [list(enumerate(options(front, times), -1)) for front, times in zip(fronts, uses, strict=True)]
    totals = {}
    for choice in itertools.product(*every):
        rows, points = zip(*choice, strict=True)
        if max(rows) >= 0:
            params, flops, loss = (sum(column) for column in zip(*points, strict=True))
            totals[rows] = params, flops, loss
    return totals


def plain(fronts: list[Front], uses: list[int], share: Share = FREE) -> list[Point]:
    """The undominated sums inside the share."""
    inside = {p for p in sums(fronts, uses).values() if p[0] <= share.params and p[1] <= share.flops}
    points = np.array(sorted(inside), np.int64).reshape(-1, 3)
    beaten = [((points <= row).all(axis=1) & (points < row).any(axis=1)).any() for row in points]
    return [point for point, out in zip(sorted(inside), beaten, strict=True) if not out]


def points_of(joint: Together) -> list[Point]:
    return list(zip(joint.params.tolist(), joint.flops.tolist(), joint.loss.tolist(), strict=True))


def true_to_its_choices(joint: Together, uses: list[int]) -> None:
    """The sums are those of the choices, each made once and none of them all dense."""
    totals = sums(list(joint.fronts), uses)
    rows = [tuple(row) for row in joint.choices.tolist()]
    assert len(set(rows)) == len(rows)
    assert [totals[row] for row in rows] == points_of(joint)


@pytest.mark.parametrize(
    ("sizes", "uses"), [(SIZES[:1], [1]), (SIZES[:1], [3]), (SIZES[:2], [1, 1]), (SIZES[1:3], [2, 1])]
)
def test_equals_the_listing(sizes: list[tuple[int, int]], uses: list[int]) -> None:
    fronts = [found(size, seed) for seed, size in enumerate(sizes)]

    joint = together.together(fronts, uses)

    assert points_of(joint) == plain(fronts, uses)
    true_to_its_choices(joint, uses)
    assert joint.epsilon == 0


def test_three_layers_that_the_weights_need_to_different_degrees() -> None:
    fronts = [found(size, seed, Search(1, 12)).thinned(11) for seed, size in enumerate(SIZES[:3])]
    fronts = [made(one.layer, options(one, 1)[1:]) for one in fronts]  # as if whole

    joint = together.together(fronts, [1, 2, 1])

    assert points_of(joint) == plain(fronts, [1, 2, 1])
    true_to_its_choices(joint, [1, 2, 1])
    dense = (joint.choices < 0).any(axis=1)
    assert dense.any() and not dense.all()


numbers = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 12))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.lists(numbers, max_size=6), st.integers(1, 3)), min_size=1, max_size=4), st.data())
def test_equals_the_listing_anywhere(layers: list[tuple[list[Point], int]], data: st.DataObject) -> None:
    fronts = [made(Layer(str(index), 4, 6), points) for index, (points, _) in enumerate(layers)]
    uses = [times for _, times in layers]
    share = Share(*data.draw(st.tuples(st.integers(0, 200), st.integers(0, 400)) | st.just((1 << 62, 1 << 62))))

    joint = together.together(fronts, uses, share)

    assert points_of(joint) == sorted(points_of(joint)) == plain(fronts, uses, share)
    true_to_its_choices(joint, uses)


@pytest.mark.parametrize(("params", "flops"), [(0.4, math.inf), (math.inf, 0.5), (0.5, 0.7)])
def test_share(params: float, flops: float) -> None:
    fronts, uses = [found(SIZES[0]), found(SIZES[1], 1)], [1, 2]
    dense = [cost.dense(one.layer) for one in fronts]
    share = Share(
        int(min(params * sum(each.params for each in dense), 1 << 62)),
        int(min(flops * sum(each.flops * times for each, times in zip(dense, uses, strict=True)), 1 << 62)),
    )

    joint = together.together(fronts, uses, share)

    assert points_of(joint) == plain(fronts, uses, share)
    assert 0 < len(joint) < len(together.together(fronts, uses))
    assert set(points_of(joint)) <= set(points_of(together.together(fronts, uses)))


def test_a_share_is_kept_to_the_last_number_and_may_leave_nothing() -> None:
    fronts, uses = [found(SIZES[0]), found(SIZES[1], 1)], [1, 1]
    least, cheapest = (min(point[column] for point in plain(fronts, uses)) for column in (0, 1))

    assert int(together.together(fronts, uses, Share(params=least)).params.max()) == least
    assert int(together.together(fronts, uses, Share(flops=cheapest)).flops.max()) == cheapest
    nothing = together.together(fronts, uses, Share(params=least - 1))
    assert len(nothing) == 0
    assert nothing.specs == ()
    assert len(nothing.thinned(8)) == 0
    assert len(together.together(fronts, uses, Share(params=-1, flops=-1))) == 0


def test_no_layer_and_a_layer_with_nothing_to_offer() -> None:
    assert len(together.together([], [])) == 0
    empty = Front(Layer("fc", 13, 7), 0, reason="13 is prime")
    assert len(together.together([empty], [1])) == 0

    joint = together.together([empty, found(SIZES[0])], [1, 1])

    assert (joint.choices[:, 0] == -1).all()
    assert len(joint) == len(found(SIZES[0]))


def test_a_layer_that_loses_nothing_is_never_left_dense_beside_another() -> None:
    free, other = made(Layer("free", 8, 8), [(10, 20, 0)]), made(Layer("other", 8, 8), [(10, 20, 5)])

    joint = together.together([free, other], [1, 1])

    assert joint.choices.tolist() == [[0, 0], [0, -1]]


def test_shapes_of_the_choices() -> None:
    fronts = [found(SIZES[0]), found(SIZES[1], 1)]

    joint = together.together(fronts, [1, 1])

    for row, shapes in zip(joint.choices.tolist(), joint.specs, strict=True):
        for one, choice, shape in zip(fronts, row, shapes, strict=True):
            assert shape == (None if choice < 0 else one.specs[choice])


def promised(joint: Together, points: list[Point]) -> None:
    """Every point has one in the joint set that is at most (1 + epsilon) times as large in every sum."""
    kept = np.array(points_of(joint), np.float64)
    for point in points:
        assert (kept <= np.array(point) * (1 + joint.epsilon) * (1 + 1e-9)).all(axis=1).any(), point


@pytest.mark.parametrize("size", [8, 40, 150])
def test_thinned_keeps_what_it_promises(size: int) -> None:
    fronts, uses = [found(SIZES[0]), found(SIZES[1], 1)], [1, 2]
    joint = together.together(fronts, uses)
    assert len(joint) > 200

    thin = joint.thinned(size)

    assert 0 < len(thin) <= size
    assert thin.epsilon > 0
    true_to_its_choices(thin, uses)
    assert set(points_of(thin)) <= set(points_of(joint))
    promised(thin, points_of(joint))


def test_a_size_that_holds_all_thins_nothing() -> None:
    joint = together.together([found(SIZES[0])], [1])

    thin = joint.thinned(len(joint))

    assert points_of(thin) == points_of(joint)
    assert thin.epsilon == 0


@pytest.mark.parametrize("most", [1, 100, 300])
def test_thinned_on_the_way_where_pairs_outgrow_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    fronts = [found(size, seed, Search(1, 12)).thinned(11) for seed, size in enumerate(SIZES[:3])]
    fronts = [made(one.layer, options(one, 1)[1:]) for one in fronts]
    uses = [1, 2, 1]
    monkeypatch.setattr(join, "MOST_SUMS", most)
    monkeypatch.setattr(join, "MOST_KEPT", most)

    joint = together.together(fronts, uses)

    assert joint.epsilon > 0
    true_to_its_choices(joint, uses)
    promised(joint, plain(fronts, uses))


def test_epsilons_multiply() -> None:
    one, two = (
        made(Layer(str(index), 8, 8), [(n, 100 - n, (n * 7) % 41) for n in range(1, 60)], epsilon)
        for index, epsilon in enumerate((0.1, 0.25))
    )

    joint = together.together([one, two], [1, 1])
    thin = joint.thinned(9)
    alone = together.together([made(one.layer, options(one, 1)[1:]), made(two.layer, options(two, 1)[1:])], [1, 1])

    assert joint.epsilon == 0.25
    assert thin.epsilon == pytest.approx(1.25 * (1 + alone.thinned(9).epsilon) - 1)


def test_sums_beyond_32_bits_are_exact() -> None:
    large = Layer("large", 65536, 4096)
    fronts = [made(large, [(2**28 - n, 2**29 - 5 + n, n * ONE) for n in range(1, 4)]) for _ in range(3)]

    joint = together.together(fronts, [1000] * 3)

    assert points_of(joint) == plain(fronts, [1000] * 3)
    assert max(joint.flops) > 2**40


def test_bytes_stand_for_parameters_and_time_is_one_objective_more() -> None:
    layer = Layer("fc", 8, 8)
    front = made(layer, [(20, 60, 3), (30, 50, 2), (40, 40, 1)])
    price = Price(np.array([100, 60, 50, 70]), np.array([9, 4, 6, 5]))

    priced = together.together([front], [2], prices=[price])

    # The first is beaten by the second but for its time, and so they all stay; without it, it goes.
    np.testing.assert_array_equal(priced.objectives, [[50, 60, 70], [100, 120, 80], [6, 4, 5], [2, 3, 1]])
    np.testing.assert_array_equal(priced.params, [30, 20, 40])
    by_bytes = together.together([front], [2], prices=[Price(price.file_bytes)])
    np.testing.assert_array_equal(by_bytes.params, [30, 40])
    for share, choices in (
        (Share(file_bytes=65), [1, 0]),
        (Share(pace=5), [0, 2]),
        (Share(params=1), [1, 0, 2]),
    ):
        assert together.together([front], [2], share, [price]).choices.ravel().tolist() == choices
    assert together.together([front], [2], Share(pace=1)).params.tolist() == [20, 30, 40]
