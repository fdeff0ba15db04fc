"""`--recover adversarial`: what a step learns from, what it brings, and that it does not matter where it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.forms.site import Cost
from edgett.forms.tt.shape import TTShape
from edgett.job.attack import Attack
from edgett.job.choices import Recover
from edgett.model.layers import substituted
from edgett.model.ports import input_ports, output_ports
from edgett.search.solution import Solution
from edgett.train.attacks import Adversary
from edgett.train.data import Split
from edgett.train.finetune import Recipe, Task, Tuned, Tuner, make_deterministic
from edgett.train.methods.adversarial import Hardening
from edgett.train.parcel import pack, unpack
from edgett.train.quality import Ask, judge
from edgett.train.training import Training
from edgett.train.workers import crew
from tests.conftest import Tiny

ATTACK = Attack(epsilon=0.04, steps=3)
SOLUTION = Solution(0, {"wide": TTShape((8, 8), (6, 8), (1, 8, 1))}, Cost(1000, 1000), 4000)


def tuner_of(tiny: Tiny, recover: Recover, epochs: int = 4) -> Tuner:
    make_deterministic()
    model, arrays = keras.saving.load_model(tiny.model), tiny.arrays()
    (x,), (y,) = input_ports(model), output_ports(model)
    train, test = (Split({x.name: arrays[f"x_{part}"]}, {y.name: arrays[f"y_{part}"]}) for part in ("train", "test"))
    judged = judge(model, train.y, Ask(attack=ATTACK))
    return Tuner(model, train, test, judged, Recipe(epochs, 64, seed=5, recover=recover))


def tuned(tuner: Tuner, until: float, epochs: float = 0, state: bytes | None = None) -> Tuned:
    return tuner.run(Task(SOLUTION, until, epochs, state), lambda batches: None)


def test_a_step_is_one_on_the_attacked_batch(tiny: Tiny) -> None:
    make_deterministic()
    tuner = tuner_of(tiny, Recover.ADVERSARIAL)
    adversary = Adversary.of(tuner.judge, tuner.train.x)
    assert adversary is not None
    mine, theirs = (tuner.compiled(substituted(tuner.model, {})) for _ in range(2))
    batch = tuner.train.take(slice(64))
    moved = adversary.examples(theirs, batch)
    hardening = Hardening(mine, batch, 0)
    hardening.adversary = adversary
    plain = Training(theirs, moved, 0)
    for training in (hardening, plain):
        training.epoch(0, 64, np.full(1, 1e-3, np.float32), lambda batches: None)
    for one, other in zip(mine.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_it_makes_a_model_right_more_often_under_attack(tiny: Tiny) -> None:
    found = {recover: tuned(tuner_of(tiny, recover), 4) for recover in (Recover.DISTILL, Recover.ADVERSARIAL)}
    values = {recover: one.quality.robust[0].value for recover, one in found.items()}
    assert values[Recover.ADVERSARIAL] > values[Recover.DISTILL] + 0.05
    assert all(one.quality.scores[0].value >= one.quality.robust[0].value for one in found.values())


def equal(one: Tuned, other: Tuned) -> bool:
    return (one.quality, one.losses, one.weights) == (other.quality, other.losses, other.weights)


def test_in_two_parts_it_ends_as_in_one(tiny: Tiny) -> None:
    whole = tuned(tuner_of(tiny, Recover.ADVERSARIAL, 2), 2)
    first = tuned(tuner_of(tiny, Recover.ADVERSARIAL, 2), 1)
    second = tuned(tuner_of(tiny, Recover.ADVERSARIAL, 2), 2, 1, first.state)
    assert (second.quality, second.weights) == (whole.quality, whole.weights)
    assert first.losses + second.losses == whole.losses


def test_a_tuner_that_was_sent_attacks_alike(tiny: Tiny) -> None:
    tuner = tuner_of(tiny, Recover.ADVERSARIAL, 1)
    assert unpack(pack(tuner)).judge.ask.attack == ATTACK
    assert equal(tuned(tuner, 1), tuned(unpack(pack(tuner)), 1))


@pytest.mark.slow
def test_another_process_does_the_same(tiny: Tiny, tmp_path: Path) -> None:
    """Up to the sums of this one's several threads, which come in another order."""
    tuner = tuner_of(tiny, Recover.ADVERSARIAL, 1)
    with crew(tuner, 1, tmp_path) as workers:
        one, again = (workers.submit(Task(SOLUTION, 1)).result() for _ in range(2))
    here: Any = tuned(tuner, 1)
    assert equal(one, again)
    assert one.quality.robust[0].value == pytest.approx(here.quality.robust[0].value, abs=0.02)
