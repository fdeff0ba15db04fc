"""Why the dense model is the recommended one: a sentence for each reason, told by outcomes made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgett.forms.front import Front, Search
from edgett.forms.site import Cost, Found, Layer
from edgett.forms.svd import SVDShape
from edgett.graph.dtype import DType
from edgett.job.job import Job
from edgett.search.choose import DENSE
from edgett.search.constraints import DROP, Constraints, Objective
from edgett.search.quality import Quality
from edgett.search.solution import Candidate, Picks, Refuge, Reverted, Solution, Trial
from edgett.search.together import Together
from edgett.search.whole import Whole
from edgett.target.profile import load_target, with_dtype
from edgett.workflow.outcome import Outcome
from edgett.workflow.reasons import why_dense
from edgett.workflow.release import Release

SPEC = SVDShape(8, 6, 2)
LAYERS = (Layer("first", 8, 6), Layer("second", 8, 6))
HOLDS = "The dense model holds every budget that can be checked, and "


def trial(number: int, drop: float = 0.5, *reverted: Reverted) -> Trial:
    edits = {} if number == DENSE or reverted else {"first": SPEC}
    return Trial(Solution(number, edits, Cost(10, 20, 5), 100), Quality(()), drop, 3, 0, 1.0, reverted=reverted)


def space(*excluded: str | None) -> Whole:
    """The layers, each with a front or the reason why it has none, and two candidates: of one layer and of both."""
    found = [Found(layer, why) for layer, why in zip(LAYERS, excluded, strict=False)]
    layers = tuple((item, None if item.excluded else Front(item.layer, 1, (SPEC,), (Cost(10, 20),))) for item in found)
    none = np.empty(0, np.int64)
    candidates = (Candidate({"first": SPEC}), Candidate({"first": SPEC, "second": SPEC}))
    joint = Together((), none.reshape(0, 0), none, none, none, none.reshape(3, 0))
    return Whole(Search(), layers, joint, candidates, 0.0)


DENSE_TRIAL = trial(DENSE, 0.0)
BEST = Picks(DENSE_TRIAL, DENSE_TRIAL, DENSE_TRIAL, DENSE_TRIAL)
PLAIN = Outcome(
    path=Path("run"), job=Job("cortex-m4"), target=with_dtype(load_target("cortex-m4"), DType.INT8),
    limits=Constraints(Objective.MEMORY, {DROP: 1.5}), judged_by="accuracy",
    exploration=space(None, None), dense=DENSE_TRIAL, baseline=Quality(()), able=2,
    trials=(trial(0, 2.0), trial(1, 9.0)), picks=BEST, miss=None, release=Release(), slower={}, errors={},
)  # fmt: skip
"""Two solutions were fine-tuned, and lose too much."""


def told(outcome: Outcome) -> str:
    sentence = why_dense(outcome)
    assert sentence is not None and sentence.startswith(HOLDS) and sentence.endswith(".")
    return sentence.removeprefix(HOLDS).removesuffix(".")


class TestNothingToTell:
    def test_another_is_recommended(self) -> None:
        assert why_dense(replace(PLAIN, picks=replace(BEST, recommended=trial(0)))) is None

    def test_none_is(self) -> None:
        assert why_dense(replace(PLAIN, picks=None)) is None

    def test_none_was_looked_for(self) -> None:
        assert why_dense(replace(PLAIN, exploration=None)) is None


class TestNoForm:
    def test_every_layer_is_left_alone(self) -> None:
        outcome = replace(PLAIN, exploration=space("it is skipped", "it is prime"), trials=(), able=0)
        assert told(outcome) == ("no layer is worth factorising (first: it is skipped; second: it is prime)")

    def test_there_is_no_layer(self) -> None:
        outcome = replace(PLAIN, exploration=space(), trials=(), able=0)
        assert told(outcome) == "no layer is worth factorising (the model has none)"

    def test_one_that_is_left_alone_is_not_the_reason(self) -> None:
        assert "worth" not in told(replace(PLAIN, exploration=space("it is skipped", None)))

    def test_none_takes_fewer_bytes(self) -> None:
        assert told(replace(PLAIN, larger=True, trials=(), able=0)) == (
            "no low-rank form of any layer takes fewer bytes of a .tflite in int8 than dense: each factor has its own"
            " tables"
        )

    def test_all_are_predicted_to_be_slower(self) -> None:
        """In each candidate each of its layers: three in all."""
        outcome = replace(PLAIN, slower={"first": 2, "second": 1}, trials=(), able=0)
        every = "every low-rank form of every layer is predicted to"
        assert told(outcome) == f"{every} take more instructions on cortex-m4"
        assert told(replace(outcome, target=load_target("host"))) == f"{every} be slower on host"
        one = replace(outcome, slower={"first": 2})
        assert told(one) == "every other solution breaks one, as could be told before training"


class TestTrials:
    def test_others_hold_and_int8_left_nothing_of_them(self) -> None:
        back = Reverted("first", Refuge.DENSE_INT8, 5.0, 0.5, snr_db=3.0)
        outcome = replace(PLAIN, trials=(trial(0, 0.5, back), trial(1, 9.0)))
        assert told(outcome) == "of the other solutions that do (1) int8 leaves no layer that is not dense again"
        another = replace(outcome, trials=(*outcome.trials, trial(2)))
        assert told(another) == "none of the other solutions that do (2) takes fewer bytes"

    @pytest.mark.parametrize(
        ("objective", "words"),
        [
            (Objective.ACCURACY, "is more accurate"),
            (Objective.MEMORY, "takes fewer bytes"),
            (Objective.FLOPS, "has fewer FLOPs"),
            (Objective.LATENCY, "is predicted to take fewer instructions"),
        ],
    )
    def test_others_hold_and_are_no_better(self, objective: Objective, words: str) -> None:
        limits = replace(PLAIN.limits, objective=objective)
        outcome = replace(PLAIN, limits=limits, trials=(trial(0), trial(1), trial(2, 9.0)))
        assert told(outcome) == f"none of the other solutions that do (2) {words}"

    def test_others_are_slower_here(self) -> None:
        slow = Reverted("first", Refuge.DENSE, 0.5, 0.5, slowdown=1.2)
        assert told(replace(PLAIN, trials=(trial(0, 0.5, slow), trial(1, 9.0)))) == (
            "every other solution is slower here, or breaks one"
        )

    def test_none_was_worth_training(self) -> None:
        assert told(replace(PLAIN, able=0, trials=())) == (
            "every other solution breaks one, as could be told before training"
        )

    def test_none_that_was_fine_tuned_holds(self) -> None:
        assert told(PLAIN) == "none of the 2 solutions that were fine-tuned does"
        assert told(replace(PLAIN, trials=PLAIN.trials[:1])) == "the one solution that was fine-tuned does not"
