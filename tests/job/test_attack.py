"""What attacks may be asked for, and by what."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from edgett.errors import EdgettError, UsageError
from edgett.job.attack import Attack, Attacker, asked_attack
from edgett.job.choices import Recover
from edgett.job.job import Job, attack_of, load_project, resolve
from edgett.target.places import profile_files, search_folders


@pytest.mark.parametrize("epsilon", [0.0, -0.1, 1.01, math.nan, math.inf])
def test_an_epsilon_out_of_range_is_named_with_its_limits(epsilon: float) -> None:
    with pytest.raises(UsageError, match=r"--epsilon \S+ is not above 0 and at most 1") as told:
        Job("host", epsilon=epsilon)
    assert "0.1 is usual" in told.value.cure


@pytest.mark.parametrize("steps", [0, -3, 1001])
def test_steps_out_of_range_are_named_with_their_limits(steps: int) -> None:
    with pytest.raises(UsageError, match=rf"--attack-steps {steps} is not from 1 to 1,000"):
        Job("host", attack_steps=steps)


def test_fgsm_takes_no_steps() -> None:
    with pytest.raises(UsageError, match="--attack-steps 5 means nothing to --attack fgsm"):
        Job("host", attack=Attacker.FGSM, attack_steps=5)


@pytest.mark.parametrize("most", [-1.0, 100.5, math.nan])
def test_a_robust_drop_out_of_range_is_named(most: float) -> None:
    with pytest.raises(UsageError, match=r"--max-robust-drop \S+ is not from 0 to 100"):
        Job("host", max_robust_drop=most)


def test_the_steps_of_pgd_reach_two_and_a_half_epsilons() -> None:
    assert Attack(Attacker.FGSM, 0.2).strides == (0.2,)
    assert sum(Attack(Attacker.PGD, 0.2, 10).strides) == pytest.approx(0.5)


class TestWhoAsks:
    def test_nobody(self) -> None:
        assert attack_of(Job("host")) is None

    @pytest.mark.parametrize(
        ("job", "attack"),
        [
            (Job("host", attack=Attacker.FGSM), Attack(Attacker.FGSM)),
            (Job("host", epsilon=0.3), Attack(Attacker.PGD, 0.3)),
            (Job("host", attack_steps=3), Attack(steps=3)),
            (Job("host", recover=Recover.ADVERSARIAL), Attack()),
            (Job("host", max_robust_drop=2.0), Attack()),
            (Job("host", max_robust_drop=0.0, epsilon=0.03), Attack(epsilon=0.03)),
        ],
    )
    def test_an_option(self, job: Job, attack: Attack) -> None:
        assert attack_of(job) == attack

    def test_the_budget_of_a_profile(self, tmp_path: Path) -> None:
        text = next(path for path in profile_files(search_folders()) if path.stem == "cortex-a53").read_text()
        path = tmp_path / "mine.toml"
        path.write_text(text.replace('"cortex-a53"', '"mine"').replace("[budget]", "[budget]\nrobust_drop_pp = 3.5"))
        assert attack_of(Job(str(path))) == Attack()
        path.write_text(path.read_text().replace("3.5", "101"))
        with pytest.raises(EdgettError, match=r"robust_drop_pp is 101"):
            attack_of(Job(str(path)))


def test_defaults_and_words() -> None:
    assert asked_attack(None, None, None) == Attack(Attacker.PGD, 0.1, 7)
    assert str(Attack()) == "PGD, epsilon 0.1 of the inputs' range, 7 steps"
    assert str(Attack(Attacker.FGSM, 0.05)) == "FGSM, epsilon 0.05 of the inputs' range"


def test_a_project_names_an_attack(tmp_path: Path) -> None:
    path = tmp_path / "edgett.toml"
    path.write_text('target = "host"\nattack = "fgsm"\nepsilon = 0.05\nmax_robust_drop = 2\n')
    job, origins = resolve({}, load_project(path))
    assert (attack_of(job), job.max_robust_drop) == (Attack(Attacker.FGSM, 0.05), 2.0)
    assert origins["attack"] == "edgett.toml" and origins["attack_steps"] == "default"
    assert job.budget["robust_drop_pp"] == 2.0
    path.write_text('target = "host"\nattack = "deepfool"\n')
    with pytest.raises(EdgettError, match=r"attack is 'deepfool'.*fgsm"):
        load_project(path)
