"""Whom to fine-tune, where candidates are measured first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms.site import Cost
from edgett.forms.svd import SVDShape
from edgett.job.choices import Prune, Recover
from edgett.job.job import Job
from edgett.meter import Silent
from edgett.model.weigh import specs_of
from edgett.search.choices import Strategy
from edgett.search.constraints import DROP, MODEL_BYTES, Constraints, Objective
from edgett.search.solution import Solution
from edgett.train.data import Data, Split
from edgett.train.methods import METHODS
from edgett.train.screening import Tryout, screened
from edgett.workflow import inputs, pruning
from edgett.workflow.promising import MOST_ACCURATE, _Begun, needful, promising, starts
from edgett.workflow.proposal import Proposal, proposed
from edgett.workflow.survey import Room, graphs

L = keras.layers
JOB = Job("host", search=Strategy.PARETO, share=0.0, limit=3)


def network() -> keras.Model:
    body = [
        L.Conv2D(8, 3, padding="same", use_bias=False, name="a"), L.BatchNormalization(), L.ReLU(),
        L.Conv2D(12, 3, strides=2, name="b"), L.ReLU(), L.Flatten(), L.Dense(4, "softmax", name="end"),
    ]  # fmt: skip
    made = keras.Sequential([keras.Input((8, 8, 4), name="x"), *body])
    random = np.random.default_rng(0)
    made.set_weights([0.3 * random.normal(size=weight.shape) ** 2 for weight in made.get_weights()])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def labelled(model: keras.Model, count: int, seed: int) -> Split:
    x = np.random.default_rng(seed).normal(size=(count, 8, 8, 4)).astype(np.float32)
    return Split({"x": x}, {"end": np.argmax(model(x), -1)})


@pytest.fixture(scope="module")
def loaded() -> inputs.Inputs:
    model = network()
    train, validation, test = (labelled(model, count, seed) for seed, count in enumerate((400, 200, 100)))
    return inputs.inputs(model, Data(train, validation, test), Silent())


@pytest.fixture(scope="module")
def found(loaded: inputs.Inputs) -> Proposal:
    room = Room(graphs(loaded.model), limits(None), x=loaded.data.train.x)
    return proposed(JOB, loaded.model, room, Silent())


def limits(drop: float | None) -> Constraints:
    return Constraints(Objective.FLOPS, {DROP: drop, MODEL_BYTES: None})


def solution(number: int, size: int, flops: int, loss: float) -> Solution:
    return Solution(number, {}, Cost(size, flops), size, loss)


def test_those_that_lead_are_chosen(loaded: inputs.Inputs, found: Proposal) -> None:
    assert len(found.able) > 8 * 3
    free = promising(found, JOB, loaded, limits(None), Silent())
    bound = promising(found, JOB, loaded, limits(1.0), Silent())
    assert len(free.solutions) == len(bound.solutions) == 3
    assert min(item.cost.params for item in free.solutions) < min(item.cost.params for item in bound.solutions)
    again = promising(found, JOB, loaded, limits(1.0), Silent())
    assert again.solutions == bound.solutions
    # Where there is no hope for any, the least bad ones are tried.
    assert len(promising(found, replace(JOB, limit=2), loaded, limits(0.0), Silent()).solutions) == 2


def test_what_is_larger_and_slower_than_one_that_holds_is_needless() -> None:
    """Numbers are bytes, FLOPs and the drop before training."""
    rows = [(100, 100, 0.0), (90, 90, 0.4), (80, 80, 0.9), (70, 95, 1.0), (60, 60, 2.0), (50, 70, 2.5), (40, 40, 5.0)]
    every = [(solution(number, *row), row[2]) for number, row in enumerate(rows)]

    def left(most: float | None) -> list[int]:
        return [item.number for item in needful([item for item, _ in every], every, most)]

    assert left(1.0) == [2, 3, 4, 5, 6]
    assert left(2.0) == [4, 5, 6]
    assert left(0.0) == left(None) == [*range(len(every))]


def test_the_limit_of_the_drop_moves_those_that_lead(loaded: inputs.Inputs, found: Proposal) -> None:
    """With more of a drop allowed none is tried that is larger and slower than one that holds without training."""
    job = replace(JOB, limit=6)
    chosen = promising(found, job, loaded, limits(20.0), Silent()).solutions
    paths = {path for one in found.able for path in one.edits}
    tryout = Tryout(loaded.source, loaded.data.validation, loaded.judge, paths)
    begun = starts(found.exploration, loaded.source, specs_of(chosen), lambda units: None)
    lost = screened(tryout, [(one, {edit[0]: begun[edit] for edit in one.edits.items()}) for one in chosen])
    holding = [one for one, told in zip(chosen, lost, strict=True) if told.drop <= 20.0]
    beaten = [
        one for one in chosen
        if any(other.file_bytes < one.file_bytes and other.work < one.work for other in holding)
    ]  # fmt: skip
    assert holding and len(beaten) <= MOST_ACCURATE


def test_starts_go_along(loaded: inputs.Inputs, found: Proposal) -> None:
    chosen = promising(found, replace(JOB, limit=None), loaded, limits(None), Silent())
    assert chosen.solutions == found.able
    held = {item for one in chosen.solutions for item in one.edits.items() if item[1].windowed}
    assert chosen.starts.keys() == {0} and set(chosen.starts[0]) == held
    for (_, spec), start in chosen.starts[0].items():
        assert tuple(factor.shape for factor in start.factors) == spec.factors and start.shift is not None


def test_models_without_channels_are_measured_beside_the_whole_one(loaded: inputs.Inputs, found: Proposal) -> None:
    """By what all lose against the whole model; their layers start from what is known of the slimmer ones."""
    job = replace(JOB, prune=Prune.CHANNELS, limit=6)
    given = pruning.slimmer(loaded, job, Silent())
    room = Room(graphs(loaded.model), limits(None), x=loaded.data.train.stream)
    every = pruning.joint(found, job, given, room, Silent())
    chosen = promising(every, job, given, limits(None), Silent())
    assert len(chosen.solutions) == 6 and {one.gone for one in chosen.solutions} - {0}
    for gone, some in pruning.of_each(chosen.solutions).items():
        held = {item for one in some for item in one.edits.items() if item[1].windowed}
        assert set(chosen.starts[gone]) == held
    whole = next(one for one in every.able if one.removed and not one.edits)
    tryout = Tryout(given.source_of(whole.gone), loaded.data.validation, loaded.judge, ())
    dense = Tryout(loaded.source, loaded.data.validation, loaded.judge, ()).quality({}, {})
    (told,) = screened(tryout, [(whole, {})], whole=dense)
    np.testing.assert_allclose(told.drop, tryout.quality({}, {}).drop_from(dense))


def test_a_start_is_closer_than_a_decomposition(loaded: inputs.Inputs, found: Proposal) -> None:
    """Fitted to what the layer puts out, and right in the mean."""
    from edgett.model.layers import kernels
    from edgett.model.weigh import inputs_of

    rows = inputs_of(loaded.model, loaded.data.validation.x, ["b"])["b"]
    weight = kernels(loaded.model, ["b"])["b"]
    wanted = list({item for one in found.able for item in one.edits.items() if item[0] == "b"})[:12]
    heard: list[int] = []
    begun = starts(found.exploration, loaded.model, wanted, heard.append)
    assert heard == [1] * len(wanted)
    for (path, spec), start in begun.items():
        plain: Any = rows @ (spec.dense(spec.best(weight)) - weight)
        fitted: Any = rows @ (spec.dense(start.factors) - weight) + start.shift
        assert np.square(fitted).sum() < 1.05 * np.square(plain).sum(), (path, spec)
        assert np.abs(fitted.mean(axis=0)).max() < 0.2 * np.sqrt(np.square(rows @ weight).mean())


def test_dense_layers_are_measured_as_they_begin_where_that_costs_no_more_than_measuring(
    loaded: inputs.Inputs, found: Proposal
) -> None:
    """Fitted to what the dense one puts out, each once; else decomposed."""
    from edgett.model.weigh import some_inputs

    x = {"x": np.repeat(loaded.data.train.x["x"], 10, axis=0)}  # enough to train on that a fit pays
    method = METHODS[Recover.DISTILL](loaded.source, loaded.judge, Split(x, {}))
    path, spec = item = ("end", SVDShape(108, 4, 2))
    (rows,), heard = some_inputs(loaded.source, x, [path]).values(), []
    weight = np.asarray(loaded.source.get_layer(path).kernel)
    lost = {}
    for work in (0.0, spec.fit_work()):
        begun = _Begun(found.exploration, loaded.source, method, work)
        once, again = (begun.of([item], heard.append)[item] for _ in range(2))
        assert again is once
        lost[work] = float(np.square(rows @ (spec.dense(once.factors) - weight)).sum())
    plain = float(np.square(rows @ (spec.dense(spec.best(weight)) - weight)).sum())
    np.testing.assert_allclose(lost[0.0], plain, rtol=1e-4)
    assert lost[spec.fit_work()] < 0.99 * plain
    assert sum(heard) == 4
