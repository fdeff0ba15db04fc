"""The whole space of a model's layers, from their weights to the candidates for fine-tuning."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgett.errors import ModelError
from edgett.forms import catalogue, cost
from edgett.forms.front import ONE, Search
from edgett.forms.site import Estimate, Found, Layer
from edgett.search import whole
from edgett.search.together import Share, together
from edgett.search.whole import Weighed, Whole, explore, units

SEARCH = Search(4, 8)


def weighed(name: str, inputs: int, outputs: int, uses: int = 1, excluded: str | None = None) -> Weighed:
    seed = inputs + outputs
    weight = np.random.default_rng(seed).normal(size=(inputs, outputs)).astype(np.float32)
    return Weighed(Found(Layer(name, inputs, outputs), excluded), None if excluded else weight, uses)


def too_large(name: str = "huge") -> Weighed:
    return Weighed(Found(Layer(name, 1 << 20, 1 << 20)))


PAIR = (weighed("first", 48, 36), weighed("second", 36, 64, uses=2))


def names(found: Whole) -> set[str]:
    return {name for candidate in found.candidates for name in candidate.edits}


def test_layers_are_those_of_the_parts_and_candidates_those_of_the_joint_set() -> None:
    found = explore(PAIR, SEARCH, Share())

    fronts = [catalogue.front(each.found.layer, each.weight, SEARCH) for each in PAIR if each.weight is not None]
    assert [one for _, one in found.layers] == fronts
    assert found.taken == tuple(fronts)
    assert found.solutions == fronts[0].solutions * fronts[1].solutions
    joint = together(fronts, [1, 2])
    assert len(found.joint) == len(joint) == len(found.candidates)
    np.testing.assert_array_equal(found.joint.choices, joint.choices)
    assert found.epsilon == 0
    for candidate, shapes, loss in zip(found.candidates, joint.specs, joint.loss.tolist(), strict=True):
        named = {name: shape for name, shape in zip(("first", "second"), shapes, strict=True) if shape is not None}
        assert dict(candidate.edits) == named != {}
        assert candidate.loss == loss / ONE
    assert any(len(candidate.edits) == 1 for candidate in found.candidates)


def test_layers_that_stay_say_why_and_change_nothing_for_the_others() -> None:
    layers = [
        weighed("small", 48, 36, excluded="it holds 1.0% of the parameters"),
        PAIR[0],
        weighed("prime", 13, 2),
        too_large(),
        weighed("tiny", 4, 4),
        PAIR[1],
    ]

    found = explore(layers, SEARCH, Share())

    reasons = [item.excluded for item, _ in found.layers]
    assert [item.layer for item, _ in found.layers] == [each.found.layer for each in layers]
    assert reasons[0] == "it holds 1.0% of the parameters"
    assert reasons[1] is None and reasons[5] is None
    assert reasons[2] == "no two factorisations of the same length: 13 and 2 are prime"
    assert reasons[3] == f"{1 << 40} weights, more than the {1 << 28} that can be explored"
    assert reasons[4] == "none of its 2 solutions is smaller and cheaper than dense"
    assert [one is None for _, one in found.layers] == [True, False, False, False, False, False]
    assert names(found) == {"first", "second"}
    alone = explore(PAIR, SEARCH, Share())
    assert found.candidates == alone.candidates
    assert found.solutions == alone.solutions


@pytest.mark.parametrize("layers", [[], [weighed("prime", 13, 2)], [weighed("skipped", 48, 36, excluded="so")]])
def test_no_layer_to_factorise(layers: list[Weighed]) -> None:
    found = explore(layers, SEARCH, Share())

    assert found.taken == ()
    assert found.candidates == ()
    assert found.solutions == len(found.joint) == 0


def test_weights_of_zeros_lose_nothing() -> None:
    found = explore([Weighed(Found(Layer("dead", 48, 36)), np.zeros((48, 36), np.float32)), PAIR[1]], SEARCH, Share())

    dead = found.taken[0]
    assert set(dead.losses) == {0.0}
    assert {(error.low, error.high) for error in dead.errors} == {(0.0, 0.0)}
    for one, other in zip(dead.costs, dead.costs[1:], strict=False):
        assert one.params < other.params and one.flops > other.flops
    assert all("dead" in candidate.edits for candidate in found.candidates)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(wrong: float) -> None:
    weight = np.ones((48, 36), np.float32)
    weight[3, 5] = weight[7, 0] = wrong

    with pytest.raises(ModelError, match="2 of the 1,728 weights of a 48x36 layer are NaN or infinite"):
        explore([PAIR[0], Weighed(Found(Layer("bad", 48, 36)), weight)], SEARCH, Share())


@pytest.mark.parametrize("scale", [1e-38, 1e30])
def test_scale_of_the_weights_does_not_matter(scale: float) -> None:
    one = PAIR[0]
    assert one.weight is not None

    scaled = explore([Weighed(one.found, one.weight * np.float64(scale))], SEARCH, Share())

    plain = explore([one], SEARCH, Share())
    assert [each.costs for each in scaled.taken] == [each.costs for each in plain.taken]
    np.testing.assert_allclose(scaled.taken[0].losses, plain.taken[0].losses, rtol=1e-4)


def test_inside_the_share() -> None:
    dense = sum(cost.dense(each.found.layer).params for each in PAIR)

    found = explore(PAIR, SEARCH, Share(params=dense // 3))

    assert 0 < len(found.candidates) < len(explore(PAIR, SEARCH, Share()).candidates)
    assert found.joint.params.max() <= dense // 3
    assert [one for _, one in found.layers] == [one for _, one in explore(PAIR, SEARCH, Share()).layers]


def test_a_layer_with_nothing_to_offer_takes_its_part_of_the_share_dense() -> None:
    prime = weighed("prime", 13, 2, uses=3)
    dense = cost.dense(prime.found.layer)
    share = Share(params=3000, flops=12000)

    found = explore(
        [PAIR[0], prime, PAIR[1]], SEARCH, Share(share.params + dense.params, share.flops + 3 * dense.flops)
    )

    alone = explore(PAIR, SEARCH, share)
    assert found.candidates == alone.candidates
    assert 0 < len(alone.candidates) < len(explore(PAIR, SEARCH, Share()).candidates)


@pytest.mark.parametrize("share", [Share(params=10), Share(flops=10), Share(-5, -5)])
def test_where_nothing_is_inside_the_share_all_is_kept_for_the_nearest_miss(share: Share) -> None:
    assert explore(PAIR, SEARCH, share).candidates == explore(PAIR, SEARCH, Share()).candidates


@pytest.mark.parametrize("estimate", Estimate)
def test_more_candidates_than_can_be_costed_are_thinned_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, estimate: Estimate
) -> None:
    search = Search(4, 8, estimate)
    free = explore(PAIR, search, Share())
    monkeypatch.setattr(whole, "MOST_CANDIDATES", 12)

    few = explore(PAIR, search, Share())

    assert len(few.joint) == len(free.joint) > 12
    assert 0 < len(few.candidates) <= 12
    assert free.epsilon == 0
    assert few.epsilon > 0
    every = [(candidate.edits, candidate.loss) for candidate in free.candidates]
    assert all((candidate.edits, candidate.loss) in every for candidate in few.candidates)
    kept = few.joint.thinned(12)
    sums = np.stack([kept.params, kept.flops, kept.loss], axis=1)
    for row in zip(few.joint.params, few.joint.flops, few.joint.loss, strict=True):
        assert (sums <= np.array(row, np.float64) * (1 + few.epsilon) * (1 + 1e-9)).all(axis=1).any()


@pytest.mark.parametrize("layers", [PAIR, (PAIR[0], weighed("prime", 13, 2), too_large()), ()])
def test_units_are_what_advance_hears(layers: tuple[Weighed, ...]) -> None:
    heard: list[int] = []

    explore(layers, SEARCH, Share(), heard.append)

    assert sum(heard) == units(layers)
    assert all(each > 0 for each in heard)


def test_units_of_dead_and_left_alone_layers() -> None:
    dead = Weighed(Found(Layer("dead", 48, 36)), np.zeros((48, 36), np.float32))
    heard: list[int] = []

    explore([dead, weighed("skipped", 64, 64, excluded="so")], SEARCH, Share(), heard.append)

    assert sum(heard) == units([dead]) > 0


def test_bounds_leave_a_layer_alone_when_none_of_its_solutions_keeps_them() -> None:
    found = explore(PAIR, Search(4, 8, most_peak=60), Share())

    first, second = (item.excluded for item, _ in found.layers)
    assert first is None
    assert second is not None and second.endswith("smaller and cheaper than dense and inside the bounds")
    assert names(found) == {"first"}


def test_thinned() -> None:
    found = explore([*PAIR, weighed("prime", 13, 2), too_large(), weighed("out", 8, 8, excluded="so")], SEARCH, Share())

    thin = found.thinned(8)

    for (item, one), (_, less) in zip(found.layers, thin.layers, strict=True):
        if one is None:
            assert less is None
            continue
        assert less is not None
        assert len(less) <= 8
        assert (less.epsilon > 0) == (len(less) < len(one))
        assert set(less.specs) <= set(one.specs)
        assert bool(len(less)) == (item.excluded is None)
    assert thin.candidates == found.candidates
    assert thin.solutions == found.solutions


@pytest.mark.slow
def test_counts_stay_exact_beyond_64_bits() -> None:
    layers = [weighed(f"{index}", 256, 256) for index in range(4)]

    found = explore(layers, Search(4, 32), Share())

    assert found.solutions == math.prod(one.solutions for one in found.taken) > 2**64
    assert isinstance(found.solutions, int)


def test_a_weight_of_another_size_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="do not serve"):
        explore([Weighed(Found(Layer("fc", 36, 48)), np.ones((48, 36), np.float32))], SEARCH, Share())
