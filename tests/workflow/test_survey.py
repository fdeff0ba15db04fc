"""What a job explores of a model: budgets that lose no candidate, layers that run twice, layers that stay dense."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms import cost
from edgett.forms.front import Search
from edgett.graph.graph import Graph
from edgett.job.job import Job
from edgett.meter import Silent
from edgett.model.inference import inference_form
from edgett.model.layers import replace
from edgett.model.models import load_model
from edgett.model.predict import predict
from edgett.model.worth import Wish, replaceable
from edgett.search import choose, whole
from edgett.search import explore as space
from edgett.search.choices import Strategy
from edgett.search.constraints import FLOPS, MODEL_BYTES, PEAK, UNKNOWN, Constraint, Constraints, Objective
from edgett.search.explore import Exploration
from edgett.search.solution import Candidate, Solution
from edgett.search.together import Share
from edgett.search.whole import Whole
from edgett.target.profile import constraints, load_target
from edgett.workflow import survey
from edgett.workflow.survey import Room
from edgett.workflow.terms import baseline
from tests.conftest import Tiny

L = keras.layers
LIMITS = Constraints(Objective.FLOPS)
JOB = Job("host", search=Strategy.PARETO, rank_multiple=4, max_rank=4, share=0.01)


def chain(inputs: int, *layers: Any) -> keras.Model:
    keras.utils.set_random_seed(2)
    return randomised(keras.Sequential([keras.Input((inputs,)), *layers]))


def randomised(model: keras.Model) -> keras.Model:
    """With no weight at a value that folds to nothing, as after training."""
    random = np.random.default_rng(5)
    for layer in model._flatten_layers():
        if isinstance(layer, (L.Dense, L.BatchNormalization)):
            layer.set_weights([random.uniform(0.1, 1.0, weight.shape) for weight in layer.get_weights()])
    return model


def plain() -> keras.Model:
    return chain(48, L.Dense(36, "relu", name="one"), L.Dense(32, name="two"), L.Dense(5, name="digit"))


def bent() -> keras.Model:
    """Without `relu`, the bias of a TT layer `two` would go into `digit`."""
    return chain(48, L.Dense(36, "relu", name="one"), L.Dense(32, "relu", name="two"), L.Dense(5, name="digit"))


def normalised() -> keras.Model:
    """Each dense layer folds the normalisation behind it; a TT layer cannot."""
    return chain(
        48, L.Dense(36, name="one"), L.BatchNormalization(name="bn1"), L.ReLU(name="relu"),
        L.Dense(32, use_bias=False, name="two"), L.BatchNormalization(name="bn2"), L.Dense(5, name="digit"),
    )  # fmt: skip


def normalised_before() -> keras.Model:
    """The normalisation goes into the layer behind it, which has no bias of its own."""
    return chain(
        36, L.Dense(24, "tanh", name="one"), L.BatchNormalization(name="bn"),
        L.Dense(64, "relu", use_bias=False, name="two"), L.Dense(5, name="digit"),
    )  # fmt: skip


def shifted() -> keras.Model:
    """Folding two numbers into a layer of 96 outputs without a bias gives it one of 96."""
    return chain(
        24, L.Rescaling(1 / 127.5, -1.0, name="scaled"),
        L.Dense(96, "relu", use_bias=False, name="one"), L.Dense(24, name="two"),
    )  # fmt: skip


def unbiased() -> keras.Model:
    """Biases that are all zero are not stored."""
    model = plain()
    for name in ("one", "two"):
        kernel, bias = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([kernel, 0 * bias])
    return model


def shared() -> keras.Model:
    """One layer runs twice a sample, the other once."""
    inputs = keras.Input((36,), name="x")
    twice = L.Dense(36, "relu", name="twice")
    once = L.Dense(32, name="once")(twice(L.ReLU(name="relu")(twice(inputs))))
    return randomised(keras.Model(inputs, once))


MODELS = [plain, normalised, normalised_before, shifted, unbiased, shared]


def searched(model: keras.Model, limits: Constraints, batch: int = 1) -> Whole:
    """What is explored inside the limits."""
    job = dataclasses.replace(JOB, batch=batch)
    costing = space.Costing(batch)
    room = Room(survey.graphs(model, costing), limits, costing)
    explored = survey.survey(model, replaceable(model, Wish(job.least_share)), job, room, Silent())
    assert isinstance(explored, Whole)
    return explored


def asked(model: keras.Model, limits: Constraints, batch: int = 1) -> tuple[Whole, tuple[Solution, ...]]:
    """What is explored inside the limits, and what the whole models then cost."""
    explored, costing = searched(model, limits, batch), space.Costing(batch)
    return explored, space.solutions(explored.candidates, survey.graphs(model, costing), costing)


def holds(solution: Solution, limits: Constraints) -> bool:
    return all(item.holds is not False for item in choose.holdings(solution, UNKNOWN, limits))


def key(solution: Solution | Candidate) -> tuple[Any, ...]:
    return tuple(sorted(solution.edits.items(), key=lambda item: item[0]))


def worth(solution: Solution) -> tuple[Any, ...]:
    """Of solutions equal in these, the search keeps any one."""
    return solution.cost.params, solution.cost.flops, solution.loss


@pytest.fixture
def unthinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "MOST_CANDIDATES", 1 << 20)


@pytest.mark.usefixtures("unthinned")
@pytest.mark.parametrize(("build", "batch"), [*((build, 1) for build in MODELS), (shared, 3), (shifted, 3)])
def test_budgets_lose_no_candidate_that_the_whole_model_admits(build: Callable[[], Any], batch: int) -> None:
    model = build()
    _, every = asked(model, LIMITS, batch)
    for row, values in (
        (MODEL_BYTES, sorted({item.file_bytes for item in every})),
        (FLOPS, sorted({item.cost.flops for item in every})),
        (PEAK, sorted({item.cost.peak_elements * 4 for item in every})),
    ):
        limits = LIMITS.with_limits({row: values[len(values) // 10]})
        admitted = {worth(item) for item in every if holds(item, limits)}
        _, inside = asked(model, limits, batch)
        assert admitted
        assert admitted <= {worth(item) for item in inside}, limits
        if row is FLOPS:  # else all would be there, for the nearest miss
            assert len(inside) < len(every)


@pytest.mark.usefixtures("unthinned")
@pytest.mark.parametrize("row", [MODEL_BYTES, FLOPS], ids=lambda row: row.name)
def test_budgets_spare_what_they_cannot_admit(row: Constraint) -> None:
    model = bent()
    _, every = asked(model, LIMITS)
    values = [item.file_bytes if row is MODEL_BYTES else item.cost.flops for item in every]
    limits = LIMITS.with_limits({row: int(np.median(values))})

    _, inside = asked(model, limits)

    assert 0 < len(inside) < len(every)
    if row is FLOPS:  # of bytes the operators of TT layers take some, which the bound does not foresee
        assert all(holds(item, limits) for item in inside)


@pytest.mark.usefixtures("unthinned")
@pytest.mark.parametrize("build", MODELS)
def test_bytes_of_an_int8_file_are_an_objective_and_their_budget_loses_none(build: Callable[[], Any]) -> None:
    model, costing = build(), space.Costing(width=1)
    graph = survey.graphs(model, costing)
    found = replaceable(model, Wish(JOB.least_share))

    def asked(limits: Constraints) -> tuple[Whole, tuple[Solution, ...]]:
        explored = survey.survey(model, found, JOB, Room(graph, limits, costing), Silent())
        assert isinstance(explored, Whole)
        return explored, space.solutions(explored.candidates, graph, costing)

    explored, every = asked(LIMITS)
    added = explored.joint.thinned(whole.MOST_CANDIDATES).objectives[0]
    bytes_of = np.array([item.file_bytes for item in every])
    # Arrays begin at multiples of 16, and so a file is not to the byte what its layers add up to.
    assert np.ptp(bytes_of - added) <= survey.UNEVEN
    limits = LIMITS.with_limits({MODEL_BYTES: int(np.quantile(bytes_of, 0.3))})
    admitted = {worth(item) for item in every if holds(item, limits)}
    assert admitted <= {worth(item) for item in asked(limits)[1]}


def test_a_budget_that_nothing_keeps_leaves_the_nearest_miss_to_be_told() -> None:
    free, _ = asked(plain(), LIMITS)
    for row in (MODEL_BYTES, FLOPS, PEAK):
        limits = LIMITS.with_limits({row: 40})
        explored, inside = asked(plain(), limits)
        assert explored.candidates == free.candidates
        assert choose.nearest_miss([(item, UNKNOWN) for item in inside], limits)[2].name == row.name


def test_share_of_a_model_by_hand() -> None:
    model = bent()
    layers = survey.weighed(model, replaceable(model, Wish(0.2)), survey.graphs(model)(frozenset()))
    assert [each.found.layer.name for each in layers if each.found.excluded is None] == ["one", "two"]
    limits = LIMITS.with_limits({MODEL_BYTES: 12_000, FLOPS: 5_000})

    inside = survey.share(layers, Room(survey.graphs(model), limits))

    digit = 32 * 5 + 5
    assert inside.flops == 5_000 - 2 * 32 * 5 - 5
    # The file holds its tables and the third layer besides; in int8 the bias of that takes four bytes a number.
    for costing, most in ((space.Costing(), 12_000 // 4), (space.Costing(width=1), 12_000)):
        share = survey.share(layers, Room(survey.graphs(model, costing), limits, costing))
        dense = survey.graphs(model, costing)(frozenset())
        tables = costing.file_bytes(dense) - dense.weight_bytes()
        assert most - digit - tables < share.params < most - digit - 300 // costing.width
    assert survey.share(layers, Room(survey.graphs(model), LIMITS)) == Share()


@pytest.mark.parametrize("batch", [1, 4])
def test_a_layer_called_twice_counts_twice(batch: int) -> None:
    model = shared()
    layers = survey.weighed(model, replaceable(model), survey.graphs(model, space.Costing(batch))(frozenset()))
    assert {each.found.layer.name: each.uses for each in layers} == {"twice": 2, "once": 1}
    for each in layers:
        np.testing.assert_array_equal(each.weight, model.get_layer(each.found.layer.name).get_weights()[0])

    explored, solutions = asked(model, LIMITS, batch)

    fixed = {  # what neither layer explains
        item.cost.flops - flops
        for item, flops in zip(solutions, explored.joint.thinned(whole.MOST_CANDIDATES).flops, strict=True)
    }
    assert fixed == {0}


def test_layers_that_stay_have_no_weight_to_look_at() -> None:
    model = plain()
    layers = survey.weighed(model, replaceable(model, Wish(skip=("one",))), survey.graphs(model)(frozenset()))

    assert [(each.found.layer.name, each.weight is None) for each in layers] == [
        ("one", True), ("two", False), ("digit", True),
    ]  # fmt: skip


def counted(model: keras.Model, solution: Solution, batch: int) -> Graph:
    """What exactly that model does once it is trained: its layers swapped, its own inference form."""
    return predict(inference_form(replace(model, solution.edits), batch, untrained=True), batch)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("build", [normalised, normalised_before, shifted, unbiased, shared])
def test_solutions_cost_what_their_own_model_does(build: Callable[[], Any], batch: int) -> None:
    model = build()
    _, solutions = asked(model, LIMITS, batch)
    taken = {name for item in solutions for name in item.edits}
    partly = [item for item in solutions if len(item.edits) < len(taken)]
    whole_ones = [item for item in solutions if len(item.edits) == len(taken)]
    assert partly and whole_ones
    named: dict[tuple[str, ...], Solution] = {tuple(sorted(item.edits)): item for item in [*whole_ones, *partly]}
    assert len(named) > 1

    for item in named.values():
        own = counted(model, item, batch)

        dense = space.dense_solution(own, space.Costing(batch))
        assert (item.cost, item.file_bytes) == (dense.cost, dense.file_bytes), item


def test_biases_that_are_zero_before_training_are_counted_in_what_comes_after() -> None:
    """Training makes numbers of them: what a solution is predicted to hold is what its file will."""
    inputs = keras.Input((24,))
    hidden = keras.layers.Dense(36, activation="relu", name="one")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(5, name="digit")(hidden))
    _, (item, *_) = asked(model, LIMITS)
    trained = replace(model, item.edits)
    for weight in trained.weights:
        weight.assign(weight + 0.25)

    assert item.cost.params == predict(inference_form(trained)).params() == trained.count_params()


def test_a_dense_layer_folds_the_normalisation_behind_it_and_a_tt_layer_does_not() -> None:
    model = normalised()
    explored, solutions = asked(model, LIMITS)
    names = [one.layer.name for one in explored.joint.fronts]
    joint = explored.joint.thinned(whole.MOST_CANDIDATES)
    extras = {}
    for item, choice, params in zip(solutions, joint.choices.tolist(), joint.params.tolist(), strict=True):
        assert set(item.edits) == {name for name, row in zip(names, choice, strict=True) if row >= 0}
        extras["one" in item.edits, "two" in item.edits] = item.cost.params - params
    # A TT layer `one` has a factor for each of its 36 outputs beside its bias. `two` has no bias, and takes none:
    # what the normalisation adds goes into `digit`, behind a dense layer as behind a TT layer.
    assert extras[True, False] - extras[False, True] == 36
    assert extras[True, True] == extras[True, False]


def test_peak_bound_is_in_elements_of_one_sample() -> None:
    for batch in (1, 4):
        limits = LIMITS.with_limits({PEAK: 4 * batch * 150 + 3})
        explored = searched(plain(), limits, batch)
        assert explored.search.most_peak == 150


def test_the_papers_grid(tiny: Tiny) -> None:
    model = load_model(tiny.model)
    job, graph = Job("host", search=Strategy.GRID, ranks="2,4"), survey.graphs(model)
    explored = survey.survey(model, replaceable(model), job, Room(graph, LIMITS), Silent())
    assert isinstance(explored, Exploration)
    assert explored.grid.max_ranks == (2, 4)


def test_tiny_inside_a_target(tiny: Tiny) -> None:
    model = load_model(tiny.model)
    graph = survey.graphs(model)
    dense = space.dense_solution(graph(frozenset()))
    target = load_target("cortex-m4")
    limits = constraints(target, baseline(dense))
    job = Job("cortex-m4", search=Strategy.PARETO)

    explored = survey.survey(model, replaceable(model), job, Room(graph, limits), Silent())

    assert isinstance(explored, Whole)
    assert explored.layers[0][0].layer.name == "wide"
    assert explored.search == Search(4, 64, most_peak=explored.search.most_peak)
    found = survey.whole_of(model, replaceable(model), Search(), Silent())
    assert found.solutions >= explored.solutions
    assert {cost.dense(one.layer).params for one in found.taken} == {64 * 48 + 48, 48 * 36 + 36}
