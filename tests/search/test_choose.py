"""Whom to fine-tune, what holds under the constraints, and what is picked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgett.forms.site import Cost
from edgett.search.choose import (
    LEFT,
    choose,
    contenders,
    feasible,
    holdings,
    logarithmic,
    nearest_miss,
    promoted,
    ranked,
    spread,
    tradeoffs,
    worth,
)
from edgett.search.constraints import DROP, FLOPS, LATENCY, MODEL_BYTES, PEAK, ROBUST_DROP, Constraints, Lost, Objective
from edgett.search.quality import Quality
from edgett.search.solution import Refuge, Reverted, Solution, Trial

Floats = NDArray[np.float64]
FREE = Constraints(Objective.ACCURACY)
COSTS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=12)


def solution(number: int, params: int = 10, flops: int = 20, peak: int = 5, size: int | None = None) -> Solution:
    """Its file takes ten bytes a parameter where nothing else is said."""
    return Solution(number, {}, Cost(params, flops, peak), 10 * params if size is None else size)


def trial(number: int, drop: float = 0.5, **cost: int) -> Trial:
    return Trial(solution(number, **cost), Quality(()), drop, 3, 0, 1.0)


def plain_spread(costs: list[tuple[int, int]], limit: int) -> list[int]:
    """Farthest point first, all distances anew each time."""
    columns = [sorted(set(column)) for column in zip(*costs, strict=True)]
    points = [
        tuple(values.index(v) / max(len(values) - 1, 1) for values, v in zip(columns, cost, strict=True))
        for cost in costs
    ]
    chosen = [min(range(len(points)), key=lambda row: (sum(points[row]), row))]
    while len(chosen) < min(limit, len(points)):
        rest = [row for row in range(len(points)) if row not in chosen]
        gaps = [
            min(np.sqrt(sum((a - b) ** 2 for a, b in zip(points[row], points[c], strict=True))) for c in chosen)
            for row in rest
        ]
        chosen.append(rest[int(np.argmax(gaps))])
    return chosen


class TestSpread:
    @given(COSTS.filter(bool), st.integers(1, 14))
    def test_farthest_point_first(self, costs: list[tuple[int, int]], limit: int) -> None:
        rows = spread(ranked(np.array(costs, np.float64)), limit)
        assert rows == plain_spread(costs, limit)
        assert all(type(row) is int for row in rows)

    @given(COSTS)
    def test_without_a_limit_every_row_comes_once(self, costs: list[tuple[int, int]]) -> None:
        array = np.array(costs, np.float64).reshape(-1, 2)
        rows = spread(array, None)
        assert sorted(rows) == list(range(len(costs)))
        for limit in range(len(costs) + 3):
            assert spread(array, limit) == rows[:limit]

    def test_the_smallest_leads_and_the_farthest_follows(self) -> None:
        costs = np.array([[500, 500], [1, 1], [10**12, 10**12], [2, 2]], np.float64)
        assert spread(costs, 2) == [1, 2]

    def test_equal_costs_go_by_row(self) -> None:
        assert spread(np.full((4, 2), 7.0), 3) == [0, 1, 2]


class TestScales:
    def test_ranks_ignore_by_how_much_and_share_equal_costs(self) -> None:
        costs = np.array([[5.0, 9.0], [1.0, 9.0], [5.0, 1e12], [7.0, 10.0]])
        np.testing.assert_allclose(ranked(costs), [[0.5, 0.0], [0.0, 0.0], [0.5, 1.0], [1.0, 0.5]])

    def test_logarithms_from_0_to_1(self) -> None:
        costs = np.array([[1.0, 7.0], [10.0, 7.0], [1000.0, 7.0]])
        np.testing.assert_allclose(logarithmic(costs), [[0, 0], [1 / 3, 0], [1, 0]], atol=1e-15)

    @pytest.mark.parametrize("scale", [ranked, logarithmic])
    def test_none_at_all(self, scale: Callable[[Floats], Floats]) -> None:
        assert scale(np.zeros((0, 2))).shape == (0, 2)


class TestTradeoffs:
    @given(st.lists(st.tuples(*[st.integers(1, 9)] * 3), max_size=20))
    def test_what_none_beats_in_one_cost_and_the_loss(self, rows: list[tuple[int, int, int]]) -> None:
        found = {rows[row] for row in tradeoffs(np.array(rows, np.float64).reshape(-1, 3))}

        def costs(row: tuple[int, int, int]) -> tuple[int, int, int, int]:
            return (*row, row[0] * row[1])

        def front(kind: int) -> set[tuple[int, int]]:
            pairs = {(costs(row)[kind], row[2]) for row in rows}
            return {p for p in pairs if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in pairs)}

        assert {(row[0], row[2]) for row in found} >= front(0)
        assert {(row[1], row[2]) for row in found} >= front(1)
        assert {(row[0] * row[1], row[2]) for row in found} >= front(3)
        assert all(any((costs(row)[kind], row[2]) in front(kind) for kind in (0, 1, 3)) for row in found)


class TestHoldings:
    def test_every_limit_that_is_set_in_order(self) -> None:
        limits = Constraints(Objective.MEMORY, {MODEL_BYTES: 100, PEAK: 20, FLOPS: 19, LATENCY: 5.0, DROP: 1.5})
        items = {item.name: item for item in holdings(solution(0), Lost(1.5), limits)}
        assert [(name, item.value, item.holds) for name, item in items.items()] == [
            ("model_bytes", 100, True),
            ("peak_activation_bytes", 20, True),
            ("flops", 20, False),
            ("latency_ms", None, None),
            ("accuracy_drop_pp", 1.5, True),
        ]
        assert items["flops"].limit == 19

    def test_no_limit_no_holding(self) -> None:
        assert holdings(solution(0), Lost(99.0), FREE) == ()

    def test_a_limit_of_zero_is_a_limit(self) -> None:
        (item,) = holdings(solution(0), Lost(0.1), FREE.with_limits({DROP: 0.0}))
        assert item.holds is False

    def test_a_drop_that_is_not_known_yet_is_not_checked(self) -> None:
        (item,) = holdings(solution(0), Lost(None), FREE.with_limits({DROP: 1.0}))
        assert (item.value, item.holds) == (None, None)

    def test_what_no_rule_counts_can_break_a_limit_and_never_holds_one(self) -> None:
        limits = Constraints(Objective.MEMORY, {MODEL_BYTES: 100, PEAK: 20, FLOPS: 19, LATENCY: 5.0, DROP: 1.5})
        open_one = replace(solution(0), partial=("LSTM (rnn)",))
        assert {item.name: item.holds for item in holdings(open_one, Lost(1.5), limits)} == {
            "model_bytes": None, "peak_activation_bytes": None, "flops": False, "latency_ms": None,
            "accuracy_drop_pp": True,
        }  # fmt: skip
        read_back = replace(open_one, read_back=True)
        held = {item.name: item.holds for item in holdings(read_back, Lost(1.5), limits.with_limits({FLOPS: 1000}))}
        assert held == {
            "model_bytes": True, "peak_activation_bytes": True, "flops": None, "latency_ms": None,
            "accuracy_drop_pp": True,
        }  # fmt: skip

    def test_a_share_of_what_is_not_known_is_not_known(self) -> None:
        (flops,) = holdings(solution(0), Lost(None), replace(FREE, untold=frozenset({FLOPS})))
        assert (flops.name, flops.limit, flops.value, flops.holds) == ("flops", None, 20, None)
        # Of memory there is no more than there is.
        for room, holds, limit in ((99, False, 99), (100, None, None)):
            limits = replace(FREE, limits={MODEL_BYTES: room}, untold=frozenset({MODEL_BYTES}))
            (size,) = holdings(solution(0), Lost(None), limits)
            assert (size.holds, size.limit) == (holds, limit)
        assert feasible(trial(0), replace(FREE, untold=frozenset({FLOPS})))

    def test_activations_of_another_type(self) -> None:
        narrow = replace(solution(0), width=1)
        (item,) = holdings(narrow, Lost(None), FREE.with_limits({PEAK: 5}))
        assert (item.value, item.holds) == (5, True)

    def test_a_latency_that_nothing_can_check_does_not_make_a_trial_infeasible(self) -> None:
        assert feasible(trial(0), FREE.with_limits({LATENCY: 0.001}))

    def test_a_diverged_trial_is_never_feasible(self) -> None:
        assert not feasible(trial(0, math.inf), FREE)


class TestChoose:
    TRIALS = (
        trial(0, 0.9, params=5, flops=90),
        trial(1, 0.1, params=50, flops=50),
        trial(2, 0.5, params=70, flops=10),
        trial(3, 0.0, params=10**6, flops=10**6, size=10**7),
    )

    @pytest.mark.parametrize(
        ("objective", "number"), [(Objective.ACCURACY, 1), (Objective.MEMORY, 0), (Objective.FLOPS, 2)]
    )
    def test_the_best_of_each_kind_and_the_objective_recommends(self, objective: Objective, number: int) -> None:
        picks = choose(self.TRIALS, replace(FREE, limits={MODEL_BYTES: 1000}, objective=objective))
        assert picks is not None
        named = {name: item.solution.number for name, item in picks.named().items()}
        assert named == {"recommended": number, "highest_accuracy": 1, "lowest_memory": 0, "lowest_flops": 2}

    @given(st.permutations(range(4)))
    def test_ties_do_not_depend_on_the_order_of_the_trials(self, order: list[int]) -> None:
        tied = [trial(0, 0.5), trial(1, 0.5), trial(2, 0.5, params=9, flops=30), trial(3, 0.4, params=11, flops=20)]
        picks = choose([tied[index] for index in order], FREE)
        assert picks is not None
        numbers = [item.solution.number for item in picks.named().values()]
        assert numbers == [3, 3, 2, 3]
        same = choose([trial(index) for index in order], FREE)
        assert same is not None and {item.solution.number for item in same.named().values()} == {0}

    @pytest.mark.parametrize("objective", [Objective.MEMORY, Objective.FLOPS])
    def test_a_little_of_the_objective_may_buy_much_of_the_other(self, objective: Objective) -> None:
        def costs(own: int, other: int) -> dict[str, int]:
            size, flops = (own, other) if objective is Objective.MEMORY else (other, own)
            return {"size": size, "flops": flops}

        trials = [
            trial(0, **costs(1000, 90)),
            trial(1, **costs(1090, 60)),
            trial(2, **costs(1095, 70)),
            trial(3, **costs(1110, 5)),  # too much behind
        ]
        picks = choose(trials, replace(FREE, objective=objective))
        assert picks is not None and picks.recommended.solution.number == 1
        # What is bought has to be worth more than what it costs.
        picks = choose([trials[0], trial(4, **costs(1090, 89))], replace(FREE, objective=objective))
        assert picks is not None and picks.recommended.solution.number == 0

    def test_what_is_bought_is_never_behind_the_dense_model(self) -> None:
        dense = trial(-1, 0.0, params=100, flops=100, size=1000)
        others = [trial(0, params=100, flops=95, size=900), trial(1, params=100, flops=101, size=100)]
        picks = choose(others, replace(FREE, objective=Objective.FLOPS), dense)
        assert picks is not None and picks.recommended.solution.number == 0

    def test_none_when_nothing_holds(self) -> None:
        assert choose(self.TRIALS, FREE.with_limits({FLOPS: 9})) is None
        assert choose([], FREE) is None

    def test_every_pick_holds(self) -> None:
        limits = Constraints(Objective.MEMORY, {MODEL_BYTES: 500, PEAK: 1000, FLOPS: 60, DROP: 0.6})
        picks = choose(self.TRIALS, limits)
        assert picks is not None
        assert all(feasible(item, limits) for item in picks.named().values())


class TestDense:
    """The dense model among the others: 100 parameters, 100 FLOPs, no drop."""

    DENSE = trial(-1, 0.0, params=100, flops=100, size=1000)

    def picks(self, *others: Trial, **asked: Any) -> dict[str, int]:
        found = choose(others, replace(FREE, **asked), self.DENSE)
        return {} if found is None else {name: item.solution.number for name, item in found.named().items()}

    @pytest.mark.parametrize("objective", list(Objective))
    def test_what_is_no_better_is_not_recommended(self, objective: Objective) -> None:
        same = trial(0, 0.0, params=100, flops=100)
        assert self.picks(same, objective=objective)["recommended"] == -1
        assert self.picks(same, trial(1, 0.1, params=150, flops=150), objective=objective)["recommended"] == -1

    def test_what_is_better_is(self) -> None:
        small = trial(0, 1.0, params=10, flops=120)
        for objective, number in ((Objective.MEMORY, 0), (Objective.FLOPS, -1), (Objective.ACCURACY, -1)):
            picks = self.picks(small, objective=objective)
            assert picks == {
                "recommended": number, "highest_accuracy": 0, "lowest_memory": 0, "lowest_flops": -1,
            }  # fmt: skip
        assert self.picks(trial(0, -0.1, params=10), objective=Objective.ACCURACY)["recommended"] == 0

    def test_it_has_to_hold_like_any_other(self) -> None:
        small = trial(0, 1.0, params=10, size=10)
        assert set(self.picks(small, limits={MODEL_BYTES: 999}).values()) == {0}
        assert self.picks(trial(0, 1.0, size=2000), limits={MODEL_BYTES: 999}) == {}
        lossy = replace(self.DENSE, drop=2.0)
        assert choose([], FREE.with_limits({DROP: 1.0}), lossy) is None

    def test_what_became_it_again_is_no_pick_where_it_holds(self) -> None:
        again = replace(trial(0, -1.0, params=90), reverted=(Reverted("fc", Refuge.DENSE_INT8, 30.0, -1.0),))
        assert set(self.picks(again).values()) == {-1}
        # It was trained on, and may hold where the model as it is does not.
        assert set(self.picks(again, limits={MODEL_BYTES: 999}).values()) == {0}

    def test_it_is_every_pick_where_no_other_holds(self) -> None:
        assert set(self.picks().values()) == {-1}
        assert set(self.picks(trial(0, 9.0), limits={DROP: 1.0}).values()) == {-1}

    @given(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200), st.floats(-1, 3)), max_size=8))
    def test_nothing_recommended_is_behind_it_and_no_least_is_above_it(
        self, rows: list[tuple[int, int, float]]
    ) -> None:
        others = [trial(n, drop, params=params, flops=flops) for n, (params, flops, drop) in enumerate(rows)]
        for objective in (Objective.ACCURACY, Objective.MEMORY, Objective.FLOPS):
            picks = choose(others, replace(FREE, objective=objective), self.DENSE)
            assert picks is not None
            best = picks.recommended
            assert best is self.DENSE or worth(best, objective) < worth(self.DENSE, objective)
            assert (
                picks.lowest_memory.solution.file_bytes <= self.DENSE.solution.file_bytes
                and picks.lowest_flops.solution.cost.flops <= 100
            )
            smaller = [one for one in others if one.solution.file_bytes < self.DENSE.solution.file_bytes]
            assert (picks.highest_accuracy is self.DENSE) == (not smaller)


class TestNearestMiss:
    def test_the_one_whose_worst_excess_is_least_and_the_constraint_that_binds(self) -> None:
        limits = Constraints(Objective.MEMORY, {MODEL_BYTES: 100, FLOPS: 10, DROP: 1.0})
        tried = [
            (solution(0, flops=40, size=90), Lost(0.5)),  # 300 % over in FLOPs
            (solution(1, flops=12, size=150), Lost(1.1)),  # 50 % over in bytes, its worst
            (solution(2, flops=5, size=90), Lost(2.0)),  # 100 % over in drop
        ]
        found, lost, holding = nearest_miss(tried, limits)
        assert (found.number, lost.plain, holding.name, holding.value) == (1, 1.1, "model_bytes", 150)

    def test_equal_misses_go_by_number(self) -> None:
        tried = [(solution(4), Lost(None)), (solution(2), Lost(None))]
        assert nearest_miss(tried, FREE.with_limits({FLOPS: 1}))[0].number == 2

    def test_a_limit_of_zero_can_be_missed(self) -> None:
        tried = [(solution(0), Lost(0.2)), (solution(1), Lost(0.1))]
        found, _, holding = nearest_miss(tried, FREE.with_limits({DROP: 0.0}))
        assert (found.number, holding.name) == (1, "accuracy_drop_pp")

    def test_trials_that_all_diverged_miss_by_their_drop_even_without_a_limit_on_it(self) -> None:
        _, lost, holding = nearest_miss([(solution(0), Lost(math.inf)), (solution(1), Lost(math.inf))], FREE)
        assert lost.plain == math.inf
        assert (holding.name, holding.value, holding.holds) == ("accuracy_drop_pp", math.inf, False)

    def test_whoever_did_not_diverge_is_nearer(self) -> None:
        tried = [(solution(0), Lost(math.inf)), (solution(1, flops=10**9), Lost(0.1))]
        assert nearest_miss(tried, FREE.with_limits({FLOPS: 1}))[0].number == 1


def begun(*arguments: Any, **costs: int) -> Trial:
    return replace(trial(*arguments, **costs), complete=False)


class TestHalving:
    @given(
        st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50), st.floats(-1, 12)), min_size=3, max_size=40),
        st.floats(0.1, 5),
    )
    def test_the_first_in_every_order_goes_on(self, rows: list[tuple[int, int, float]], most: float) -> None:
        trials = [begun(n, drop, params=params, flops=flops) for n, (params, flops, drop) in enumerate(rows)]
        going = promoted(trials, FREE.with_limits({DROP: most}))
        assert len({item.number for item in going}) == len(going) <= max(4, math.ceil(len(rows) / 4))
        assert min(trials, key=lambda one: (one.drop, one.solution.number)).solution in going
        hopeful = [one.solution for one in trials if LEFT * one.drop <= most]
        for axis in ("params", "flops"):
            least = min((getattr(item.cost, axis) for item in hopeful), default=None)
            assert least is None or any(getattr(item.cost, axis) == least for item in going)

    def test_in_turn_by_memory_flops_both_and_accuracy(self) -> None:
        trials = [
            begun(0, 0.1, params=90, flops=90),
            begun(1, 0.2, params=80, flops=80),
            begun(2, 3.0, params=10, flops=70),
            begun(3, 3.1, params=20, flops=5),
            begun(4, 9.9, params=1, flops=1),
            begun(5, math.inf, params=2, flops=2),
        ]
        limits = FREE.with_limits({DROP: 1.5})
        assert [item.number for item in promoted(trials, limits)] == [2, 3, 0, 1]
        assert [item.number for item in promoted(trials * 3, limits)] == [2, 3, 0, 1]  # nobody hopes for the others
        assert [item.number for item in promoted(trials, FREE.with_limits({DROP: 0.01}))] == [0, 1, 2, 3]
        assert [item.number for item in promoted(trials, FREE)] == [4, 0, 2, 3]

    def paths(self, drops: list[tuple[float, ...]], rungs: int = 2) -> list[list[Trial]]:
        """Drops after the rungs that were reached, of so many; the later in the list, the smaller and cheaper."""
        costs = [{"params": 90 - 10 * n, "flops": 90 - 10 * n} for n in range(len(drops))]
        return [
            [
                replace(trial(n, drop, **costs[n]), complete=math.isinf(drop) or rung == rungs)
                for rung, drop in enumerate(path, start=1)
            ]
            for n, path in enumerate(drops)
        ]

    @pytest.mark.parametrize(
        ("drops", "next_ones"),
        [
            ([(0.5, 0.1), (2.0, 1.0), (2.8,), (3.2,)], [2]),  # half is left: 2.8 may become 1.4, 3.2 not
            ([(0.5, 0.1), (2.0, 0.4), (2.8,), (3.2,)], [3]),  # a fifth is left: 3.2 may become 0.6
            ([(0.5, 0.1), (2.0, 1.9), (2.8,), (1.4,)], [3]),  # inside the limit, and smaller
            ([(0.5, 0.1), (2.0, 1.0), (2.8, 1.3), (3.2,)], []),
            ([(0.5, 0.3), (3.0,)], [1]),  # nothing is known but LEFT
            ([(0.5, 0.3), (7.0,)], []),
            ([(0.5,), (7.0,)], [0]),  # the only one that may hold
            ([(9.0, math.inf), (9.0, 8.0)], []),
            ([(9.0,), (9.0, 8.0), (8.5,), (7.0,), (8.0,)], [3, 4, 2]),  # who knows, before none is found
            ([(9.0, math.inf), (9.0,)], [1]),
        ],
    )
    def test_contenders_gain_what_others_have_gained(
        self, drops: list[tuple[float, ...]], next_ones: list[int]
    ) -> None:
        limits = FREE.with_limits({DROP: 1.5})
        assert [item.number for item in contenders(self.paths(drops), limits)] == next_ones

    @pytest.mark.parametrize(
        ("drops", "next_ones"),
        [
            ([(0.5, 0.3, 0.1), (8.0, 4.0, 1.0), (9.0, 5.0)], [2]),  # a quarter is left after the second rung
            ([(0.5, 0.3, 0.1), (8.0, 4.0, 1.0), (9.0, 7.0)], []),
            ([(0.5, 0.3, 0.1), (8.0, 4.0, 1.0), (11.0,)], [2]),  # an eighth after the first
            ([(0.5, 0.3, 0.1), (8.0, 4.0, 1.0), (13.0,)], []),
            ([(0.5, 0.3, 0.1), (8.0, math.inf), (4.0,)], [2]),
        ],
    )
    def test_each_rung_has_its_own_gain(self, drops: list[tuple[float, ...]], next_ones: list[int]) -> None:
        limits = FREE.with_limits({DROP: 1.5})
        assert [item.number for item in contenders(self.paths(drops, rungs=3), limits)] == next_ones

    def test_without_a_limit_the_smallest_of_all_is_trained_on(self) -> None:
        assert [item.number for item in contenders(self.paths([(0.5, 0.2), (50.0,)]), FREE)] == [1]


class TestUnderAttack:
    LIMITS = FREE.with_limits({ROBUST_DROP: 2.0})

    @staticmethod
    def of(number: int, robust: float | None, **cost: int) -> Trial:
        return replace(trial(number, 1.0, **cost), robust_drop=robust)

    @pytest.mark.parametrize(("robust", "holds"), [(2.0, True), (2.1, False), (-5.0, True), (math.inf, False)])
    def test_what_loses_more_than_it_may_is_rejected(self, robust: float, holds: bool) -> None:
        found = self.of(0, robust)
        (item,) = holdings(found.solution, found.lost, self.LIMITS)
        assert (item.name, item.value, item.holds) == ("robust_drop_pp", robust, holds)
        assert feasible(found, self.LIMITS) is holds
        assert feasible(found, FREE)

    def test_what_nobody_attacked_is_not_checked(self) -> None:
        (item,) = holdings(solution(0), self.of(0, None).lost, self.LIMITS)
        assert item.holds is None

    def test_no_pick_is_made_of_what_is_rejected(self) -> None:
        small, large = self.of(0, 3.0, size=10), self.of(1, 1.0, size=90)
        limits = replace(self.LIMITS, objective=Objective.MEMORY)
        picks = choose([small, large], limits)
        assert picks is not None and {one.solution.number for one in picks.named().values()} == {1}
        assert choose([small], limits) is None
        assert nearest_miss([(small.solution, small.lost)], limits)[2].name == "robust_drop_pp"

    def test_halving_goes_on_with_what_may_come_within_the_limit(self) -> None:
        """A quarter of a drop may be left in the end, of that under attack as of the other."""
        hopeless = replace(self.of(0, 8.1, size=1), drop=1.5, complete=False)
        hopeful = [replace(self.of(number, 7.9, size=9 + number), complete=False) for number in range(1, 9)]
        going = [one.number for one in promoted([hopeless, *hopeful], self.LIMITS)]
        assert going[0] == 1 and 0 not in going
        (again,) = contenders([[hopeless]], self.LIMITS)
        assert again.number == 0  # nobody else is there
        assert 0 not in [one.number for one in contenders([[one] for one in [hopeless, *hopeful]], self.LIMITS)]
