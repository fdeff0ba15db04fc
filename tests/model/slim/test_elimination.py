"""The order in which channels go, against least squares from the beginning each time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgett.forms.moments import Moments, of_patches, sums
from edgett.model.slim.elimination import Left, Node, eliminated

Ints = np.ndarray
RANDOM = np.random.default_rng(4)


def moments(strands: int, size: int, outputs: int, seed: int = 0) -> Moments:
    """Of correlated inputs, `size` of each strand."""
    random = np.random.default_rng(seed)
    side = strands * size
    x = (random.normal(size=(400, side)) @ random.normal(size=(side, side))).astype(np.float32)
    return of_patches(random.normal(size=(side, outputs)).astype(np.float32), sums(x))


def least(seen: Moments, gone: np.ndarray, columns: np.ndarray) -> float:
    """The share of the outputs' energy that the best weight without some rows loses, found from the beginning."""
    assert seen.moment is not None
    moment, weight = seen.moment.astype(np.float64), seen.weight.astype(np.float64)
    kept = ~gone
    best = np.zeros_like(weight)
    best[kept] = np.linalg.solve(moment[np.ix_(kept, kept)], moment[kept] @ weight)
    off = (best - weight)[:, columns]
    return float(np.trace(off.T @ moment @ off)) / seen.energy


def order(*nodes: Node, able: int, tensors: tuple[Ints, ...] = ()) -> list[Left]:
    return list(eliminated(nodes, range(able), tensors))


@pytest.mark.parametrize("size", [1, 3])
def test_what_is_lost_is_what_least_squares_lose_from_the_beginning(size: int) -> None:
    seen = moments(6, size, 4)
    rows = np.tile(np.arange(6), size)
    found = order(Node(rows, np.arange(10, 14), 1, moments=seen), able=5)
    assert sorted(left.gone for left in found) == [0, 1, 2, 3, 4]
    for count, left in enumerate(found, 1):
        gone = np.isin(rows, [each.gone for each in found[:count]])
        np.testing.assert_allclose(left.lost, -math.log1p(-least(seen, gone, np.ones(4, bool))), rtol=1e-6)


def test_the_first_to_go_is_the_one_that_costs_least_where_all_save_as_much() -> None:
    seen = moments(7, 1, 3, seed=2)
    (first, *_) = order(Node(np.arange(7), np.arange(10, 13), 1, moments=seen), able=7)
    costs = [least(seen, np.arange(7) == strand, np.ones(3, bool)) for strand in range(7)]
    assert first.gone == int(np.argmin(costs)) and first.gone != int(np.argmax(costs))


def test_what_saves_more_may_cost_more() -> None:
    """Two strands of the same cost: the one goes first that a layer of more work writes."""
    seen = of_patches(np.ones((2, 3), np.float32), sums(RANDOM.normal(size=(4000, 2)).astype(np.float32)))
    reader = Node(np.arange(2), np.arange(10, 13), 1, moments=seen)
    large, small = (Node(np.arange(20, 20 + n), np.array([strand]), 1) for strand, n in ((1, 500), (0, 5)))
    assert order(reader, large, small, able=2)[0].gone == 1


def test_a_channel_that_others_make_up_for_goes_first_and_costs_nothing() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(3000, 5)).astype(np.float32)
    x[:, 3] = 0.5 * x[:, 0] - 2 * x[:, 4]
    seen = of_patches(random.normal(size=(5, 6)).astype(np.float32), sums(x))
    first, second, *_ = order(Node(np.arange(5), np.arange(10, 16), 1, moments=seen), able=5)
    assert first.gone in (0, 3, 4) and first.lost < 5e-3 < 0.1 < second.lost


def test_channels_that_are_written_no_more_cost_nothing_any_more() -> None:
    """A chain: what one layer no longer writes, its inputs need not make."""
    first, second = moments(4, 1, 3, seed=5), moments(3, 1, 2, seed=6)
    middle = np.arange(4, 7)
    nodes = Node(np.arange(4), middle, 1, moments=first), Node(middle, np.arange(10, 12), 1, moments=second)
    found = order(*nodes, able=7, tensors=(np.arange(4), np.arange(4, 7)))
    gone: list[int] = []
    expected = np.zeros(2)
    for left in found:
        columns = ~np.isin(np.arange(4, 7), gone)
        before = np.isin(np.arange(4), gone)
        gone.append(left.gone)
        if left.gone < 4:
            now = before | (np.arange(4) == left.gone)
            expected[0] += least(first, now, columns) - least(first, before, columns)
        else:
            expected[1] = least(second, np.isin(np.arange(4, 7), gone), np.ones(2, bool))
        np.testing.assert_allclose(left.lost, -np.log1p(-expected).sum(), rtol=1e-6, atol=1e-12)
    assert len(found) == 5, "one of each tensor stays"


def test_costs_are_counted_weight_by_weight() -> None:
    """A dense layer of 4 inputs and 3 outputs over 5 positions; a window of 9 over each of the 3; one that reads."""
    seen = moments(3, 2, 2)
    nodes = (
        Node(np.arange(100, 104), np.arange(3), 5, bias=False),
        Node(np.zeros(0, np.int64), np.arange(3), 7, taps=9),
        Node(np.tile(np.arange(3), 2), np.arange(10, 12), 1, moments=seen),
    )

    def cost(left: int) -> tuple[int, int]:
        sizes = (4 * left, 0, 5), (9 * left, left, 7), (6 * 2 - 2 * 2 * (3 - left), 2, 1)
        return sum(w + b for w, b, _ in sizes), sum(p * (2 * w + b) for w, b, p in sizes)

    found = order(*nodes, able=3, tensors=(np.arange(3),))
    whole = cost(3)
    shares = [(one / whole[0], other / whole[1]) for one, other in (cost(2), cost(1))]
    np.testing.assert_allclose([(left.params, left.flops) for left in found], shares, rtol=1e-12)


def test_where_nothing_may_go_nothing_goes() -> None:
    assert order(Node(np.arange(3), np.arange(10, 12), 1, moments=moments(3, 1, 2)), able=0) == []
