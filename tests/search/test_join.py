"""The sums of layers against a listing of every combination, whole and thinned."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgett.search import join
from edgett.search.join import NO_LIMIT, JoinedSums, joined

Ints = NDArray[np.int64]


@st.composite
def many_layers(draw: st.DrawFn, most: int = 6) -> list[Ints]:
    """Layers of three or four objectives; the dense option first, losing nothing, and not always the largest."""
    width, high = draw(st.integers(2, 3)), draw(st.sampled_from([3, 50, 10**6, 2**40]))
    low = draw(st.sampled_from([0, 1, high // 2]))
    option = st.tuples(*[st.integers(low, high)] * width, st.integers(0, draw(st.sampled_from([0, 3, 10**12]))))
    dense = st.tuples(*[st.integers(low, high)] * width, st.just(0))
    layers = draw(st.lists(st.tuples(dense, st.lists(option, max_size=5)), min_size=1, max_size=most))
    return [np.array([first, *others], np.int64).T for first, others in layers]


def every(layers: list[Ints]) -> dict[tuple[int, ...], tuple[int, ...]]:
    """What every choice sums to, all of them dense included."""
    choices = itertools.product(*(range(options.shape[1]) for options in layers))
    return {
        choice: tuple(sum(options[:, row] for options, row in zip(layers, choice, strict=True)).tolist())
        for choice in choices
    }


def free(layers: list[Ints]) -> Ints:
    return np.full(len(layers[0]) - 1, NO_LIMIT)


def dense(layers: list[Ints]) -> Ints:
    total: Ints = np.sum([options[:, 0] for options in layers], axis=0)
    return total


def solutions(layers: list[Ints], limits: Ints) -> Ints:
    """The distinct sums inside the limits but for those to which the dense layers are as good."""
    sums = np.array(sorted(set(every(layers).values())), np.int64)
    return sums[(sums < dense(layers)).any(axis=1) & (sums[:, :-1] <= limits).all(axis=1)]


def efficient(sums: Ints) -> set[tuple[int, ...]]:
    beaten = [((sums <= row).all(axis=1) & (sums < row).any(axis=1)).any() for row in sums]
    return {tuple(row) for row, out in zip(sums.tolist(), beaten, strict=True) if not out}


def true_to_its_choices(found: JoinedSums, layers: list[Ints]) -> None:
    sums = every(layers)
    rows = [tuple(row) for row in found.choices.tolist()]
    assert len(set(rows)) == len(rows)
    assert [sums[row] for row in rows] == [tuple(row) for row in found.totals.T.tolist()]


def promised(found: JoinedSums, sums: Ints, dense: Ints) -> None:
    """Each sum has one found, or the dense one, at most (1 + epsilon) times as large, its loss no greater."""
    kept = np.concatenate([found.totals.T, dense[None]]).astype(np.float64)
    for row in sums:
        most = row * np.array([1 + found.epsilon] * (len(row) - 1) + [1.0])
        assert (kept <= most).all(axis=1).any(), row


@settings(max_examples=60)
@given(many_layers(4))
def test_equals_the_listing_where_it_is_small(layers: list[Ints]) -> None:
    found = joined(layers, free(layers))

    assert found.epsilon == 0
    assert {tuple(row) for row in found.totals.T.tolist()} == efficient(solutions(layers, free(layers)))
    true_to_its_choices(found, layers)


@settings(max_examples=40)
@given(many_layers(4), st.data())
def test_limits_leave_what_keeps_them(layers: list[Ints], data: st.DataObject) -> None:
    rows = data.draw(st.sampled_from(sorted(every(layers).values())))
    limits = np.array(rows[:-1], np.int64)

    found = joined(layers, limits)

    assert found.epsilon == 0
    assert {tuple(row) for row in found.totals.T.tolist()} == efficient(solutions(layers, limits))


class TestThinned:
    """What cannot all be kept."""

    @pytest.fixture(autouse=True, params=[(16, 16), (60, 30)], ids=str)
    def cramped(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        most, kept = request.param
        monkeypatch.setattr(join, "MOST_SUMS", most)
        monkeypatch.setattr(join, "MOST_KEPT", kept)
        monkeypatch.setattr(join, "CELLS", (1 << 10, 1 << 12))

    @settings(max_examples=60)
    @given(layers=many_layers(5))
    def test_the_epsilon_holds_for_every_sum(self, layers: list[Ints]) -> None:
        found = joined(layers, free(layers))

        sums = solutions(layers, free(layers))
        promised(found, sums, dense(layers))
        true_to_its_choices(found, layers)
        assert (found.epsilon == 0) <= (set(map(tuple, found.totals.T.tolist())) == efficient(sums))

    @settings(max_examples=40)
    @given(layers=many_layers(5), data=st.data())
    def test_it_holds_inside_limits_for_all_that_is_not_close_to_one(
        self, layers: list[Ints], data: st.DataObject
    ) -> None:
        limits = np.array(data.draw(st.sampled_from(sorted(every(layers).values())))[:-1], np.int64)

        found = joined(layers, limits)

        sums = solutions(layers, limits)
        promised(found, sums[(sums[:, :-1] * (1 + found.epsilon) <= limits).all(axis=1)], dense(layers))
        assert (found.totals[:-1] <= limits[:, None]).all()

    @settings(max_examples=20)
    @given(layers=many_layers(5))
    def test_it_is_the_same_each_time(self, layers: list[Ints]) -> None:
        one, other = joined(layers, free(layers)), joined(layers, free(layers))
        np.testing.assert_array_equal(one.choices, other.choices)


def random_layers(count: int, options: int) -> list[Ints]:
    """Layers of very different sizes, whose options trade two costs and a loss."""
    random, layers = np.random.default_rng(count), []
    for size in random.integers(10**3, 10**6, count):
        share = random.uniform(0.1, 0.9, options)
        other = share * random.uniform(0.7, 1.3, options)
        dense = np.array([[size], [3 * size], [0]])
        made = np.rint([size * share, 3 * size * np.minimum(other, 1), 10**9 * (1 - share) ** 2]).astype(np.int64)
        layers.append(np.concatenate([dense, made], axis=1))
    return layers


def test_a_thinned_set_stands_for_the_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = random_layers(5, 12)
    whole = joined(layers, free(layers))
    assert whole.epsilon == 0
    monkeypatch.setattr(join, "MOST_SUMS", 1 << 12)
    monkeypatch.setattr(join, "MOST_KEPT", 400)
    monkeypatch.setattr(join, "CELLS", (1 << 14,) * 2)

    few = joined(layers, free(layers))

    assert few.totals.shape[1] <= 400 < whole.totals.shape[1]
    assert 0 < few.epsilon < 0.2
    promised(few, whole.totals.T, dense(layers))


def test_tighter_limits_leave_less() -> None:
    layers = random_layers(4, 8)
    most = dense(layers)[:-1]
    before: set[tuple[int, ...]] = set()

    for share in (0.2, 0.4, 0.6, 0.9):
        found = joined(layers, (most * share).astype(np.int64))
        inside = {tuple(row) for row in found.totals.T.tolist()}
        assert before <= inside
        before = inside

    assert before


@pytest.mark.slow
def test_a_layer_with_more_options_than_sums_may_be_formed_with() -> None:
    few, many = random_layers(1, 20)[0], random_layers(2, 60_000)[1]

    found = joined([many, few, few], np.full(2, NO_LIMIT))

    assert 0 < found.epsilon < 0.05
    assert found.totals.shape[1] > 100


def test_thirty_layers_stay_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """By chance: sums of arbitrary options are stood for as well as it is said."""
    monkeypatch.setattr(join, "MOST_SUMS", 1 << 16)
    monkeypatch.setattr(join, "CELLS", (1 << 16,) * 2)
    layers = random_layers(30, 15)
    random = np.random.default_rng(0)

    found = joined(layers, free(layers))

    rows = np.stack([random.integers(0, options.shape[1], 200) for options in layers])
    sums = np.stack([options[:, row] for options, row in zip(layers, rows, strict=True)]).sum(axis=0).T
    promised(found, sums, dense(layers))
    assert 0 < found.epsilon < 1


def test_no_layer() -> None:
    found = joined([], np.full(2, NO_LIMIT))
    assert found.totals.shape == (3, 0)
    assert found.choices.shape == (0, 0)
