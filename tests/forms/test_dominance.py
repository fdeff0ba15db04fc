import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.forms.dominance import thinned, thinned_to, undominated

Row = tuple[int, ...]


def plain_front(rows: list[Row]) -> set[Row]:
    """Row by row against every other."""
    return {
        row
        for row in rows
        if not any(other != row and all(a <= b for a, b in zip(other, row, strict=True)) for other in rows)
    }


@pytest.mark.parametrize("width", [3, 4])
@given(data=st.data())
def test_equals_a_comparison_of_every_pair(width: int, data: st.DataObject) -> None:
    numbers = st.integers(0, data.draw(st.sampled_from([2, 9, 2**40, 2**62])))
    rows = data.draw(st.lists(st.tuples(*[numbers] * width), max_size=60))
    columns = list(np.array(rows, np.int64).reshape(-1, width).T)
    found = [rows[index] for index in undominated(columns)]
    assert set(found) == plain_front(rows)
    assert len(set(found)) == len(found)
    assert found == sorted(found)


@pytest.mark.parametrize("width", [3, 4])
def test_many_points_over_several_chunks(width: int) -> None:
    rng = np.random.default_rng(width)
    points = np.concatenate([rng.integers(0, 40, (3000, width)), rng.integers(0, 4000, (1500, width))])
    kept = points[undominated(list(points.T))]
    distinct = np.unique(points, axis=0)
    beaten = np.array([((distinct <= row).all(axis=1) & (distinct < row).any(axis=1)).any() for row in distinct])
    np.testing.assert_array_equal(kept, distinct[~beaten])


@given(
    rows=st.lists(st.tuples(*[st.integers(0, 10**9)] * 3), min_size=1, max_size=80),
    epsilon=st.sampled_from([1e-3, 0.05, 0.5, 3.0]),
)
def test_every_row_is_epsilon_dominated_by_one_that_stays(rows: list[Row], epsilon: float) -> None:
    points = np.array(rows, np.float64)
    kept = points[thinned(list(points.T), epsilon)]
    for row in points:
        assert (kept <= (1 + epsilon) * row * (1 + 1e-9)).all(axis=1).any()


@given(rows=st.lists(st.tuples(*[st.integers(0, 10**6)] * 3), min_size=1, max_size=80), size=st.integers(8, 90))
def test_thins_to_a_size_and_keeps_what_it_promises(rows: list[Row], size: int) -> None:
    points = np.array(rows, np.float64)
    chosen, epsilon = thinned_to(list(points.T), size)
    assert len(chosen) <= size
    assert (epsilon == 0) == (len(chosen) == len(points))
    kept = points[chosen]
    for row in points:
        assert (kept <= (1 + epsilon) * row * (1 + 1e-9)).all(axis=1).any()


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=1, max_size=400), st.integers(1, 20))
def test_of_more_than_enough_some_are_told(rows: list[Row], most: int) -> None:
    columns = list(np.array(rows).T)
    whole, some = undominated(columns), undominated(columns, most)
    assert (len(some) > most) == (len(whole) > most)
    if len(whole) <= most:
        np.testing.assert_array_equal(some, whole)


def test_a_long_front_of_four_columns_is_thinned_no_further_than_it_must_be() -> None:
    draw = np.random.default_rng(3)
    columns = list(draw.integers(1, 10_000, (4, 3000)))
    found, epsilon = thinned_to(columns, 64)
    np.testing.assert_array_equal(found, thinned(columns, epsilon))
    assert len(found) <= 64 < len(thinned(columns, epsilon / 1.02))


def test_fewer_rows_than_can_stand_for_all_are_refused() -> None:
    with pytest.raises(ValueError, match="7 rows cannot stand for all in 3 columns; 8 can"):
        thinned_to([np.arange(9.0)] * 3, 7)
