"""What a run came to, what is wrong with it if anything is, and both written into the run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgett.errors import CheckFailed, EdgettError, described
from edgett.forms.error import Bracket
from edgett.forms.spec import Spec
from edgett.job.attack import Attack
from edgett.job.job import Job, attack_of
from edgett.meter import Meter
from edgett.run.directory import Run
from edgett.search import choose
from edgett.search.constraints import DROP, UNKNOWN, Constraints, Holding, Lost
from edgett.search.quality import Quality
from edgett.search.solution import Picks, Solution, Trial
from edgett.target.profile import Target
from edgett.workflow import cures, document
from edgett.workflow.inputs import Inputs
from edgett.workflow.reasons import why_dense
from edgett.workflow.release import Chosen, Release
from edgett.workflow.survey import Explored


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        path: the run directory.
        job: what was asked.
        target: the device.
        limits: the constraints that a solution must meet.
        judged_by: the metric of quality; empty where nothing was judged.
        exploration: the layers' design spaces; None where the model is deployed as it is.
        dense: the dense model as its file measures.
        baseline: the quality of Keras's own dense model, by which drops are measured; without scores nothing was
            judged.
        able: how many candidates are inside the budgets that can be told before training.
        trials: the candidates that were fine-tuned, with their quality.
        picks: the chosen solutions; None where none is feasible.
        miss: where none is feasible, the nearest solution, and the constraint that it breaks; None too where none is
            because layers that are slower here went back to dense.
        release: the artefacts, and their cross-check.
        slower: by layer, in how many candidates it stays dense because its low-rank form is predicted to be slower.
        errors: by how many channels are gone, then by layer and spec, how far the picks' were from the trained weights
            before fine-tuning.
        remarks: what to know of how models were judged.
        larger: whether no low-rank form of any layer takes fewer bytes of the file than dense.
        advice: what would help where nothing is feasible.
        slimmer: how many candidates there are besides those of the exploration, of models without some channels.
    """

    path: Path
    job: Job
    target: Target
    limits: Constraints
    judged_by: str
    exploration: Explored | None
    dense: Trial
    baseline: Quality
    able: int
    trials: tuple[Trial, ...]
    picks: Picks | None
    miss: tuple[Solution, Lost, Holding] | None
    release: Release
    slower: Mapping[str, int]
    errors: Mapping[int, Mapping[tuple[str, Spec], Bracket]]
    remarks: tuple[str, ...] = ()
    larger: bool = False
    advice: cures.Advice = cures.NEEDLESS
    slimmer: int = 0

    @property
    def feasible(self) -> int:
        """How many of the trials meet the constraints."""
        return sum(choose.feasible(trial, self.limits) for trial in self.trials)

    def loses(self, trial: Trial) -> Lost:
        """How much quality a pick or the dense model loses against Keras's own.

        Args:
            trial: that solution, trained and judged.

        Returns:
            Its drops; unknown where nothing is judged.
        """
        return trial.lost if self.baseline.scores else UNKNOWN

    @property
    def attack(self) -> Attack | None:
        """What models were judged under too; None where nothing was attacked."""
        return attack_of(self.job) if self.baseline.robust else None

    @property
    def why(self) -> str | None:
        """Why the dense model is recommended, where it is and something else was looked for; None elsewhere."""
        return why_dense(self)


def remarked(inputs: Inputs, limits: Constraints, meter: Meter) -> tuple[str, ...]:
    """What to know of how models are judged: also, and said here, that a single sample breaks the budget."""
    count, limit = len(inputs.data.validation), limits[DROP]
    shares = any(score.decides and score.higher_is_better for score in inputs.quality.scores)
    if not shares or not limit or 100 / count <= limit:
        return inputs.remarks
    coarse = (
        f"the validation data are {count:,} samples, one of which is {100 / count:.2g} points: they cannot tell whether"
        f" a drop is within the {limit:g} of the budget. Give {math.ceil(100 / limit):,} or more as x_val and y_val."
    )
    meter.say(f"Warning: {coarse}")
    return (*inputs.remarks, coarse)


def nearest_miss(
    tried: Sequence[tuple[Solution, Lost]], chosen: Chosen, limits: Constraints
) -> tuple[Solution, Lost, Holding] | None:
    """Where nothing holds, the nearest of what was tried with what it breaks, or, where nothing was, the dense model.

    None too where those that would hold are left without a replaced layer.
    """
    if chosen.picks or any(trial.too_slow for trial in chosen.trials):
        return None
    judged = chosen.dense.quality.scores  # without data nobody knows what is lost
    return choose.nearest_miss(tried or [(chosen.dense.solution, chosen.dense.lost if judged else UNKNOWN)], limits)


def problem(outcome: Outcome) -> EdgettError | None:
    """What an outcome is not, as an error, where it is not what was asked for.

    Args:
        outcome: what a run came to.

    Returns:
        CheckFailed or Infeasible; None where nothing is wrong.
    """
    if not outcome.release.ok:
        return unchecked(outcome.release)
    return cures.infeasible(outcome) if outcome.picks is None else None


def unchecked(release: Release) -> CheckFailed:
    """The error for artefacts that are not what was predicted.

    Args:
        release: the artefacts, with checks that failed.

    Returns:
        What differs, file by file.
    """
    lines: list[str] = []
    for path, check in release.checks.items():
        lines += check.mismatches
        if check.numerics.fault is not None:
            lines.append(f"{path}: {check.numerics.fault}")
    return CheckFailed(
        f"the cross-check failed: {'; '.join(dict.fromkeys(lines))}.",
        "Do not deploy these files. Please report it with the model's summary and check.json.",
    )


def conclude(run: Run, outcome: Outcome) -> dict[str, Any]:
    """Write the outcome, what is wrong with it and the cross-check into the run.

    Args:
        run: the open run.
        outcome: what it came to.

    Returns:
        The outcome's document, as it stands in run.json.

    Raises:
        ToolError: where the run cannot be written to.
    """
    content, wrong = document.compressed(outcome), problem(outcome)
    content |= {} if wrong is None else {"error": described(wrong)}
    run.write_json("check.json", content["check"])
    run.write_json("run.json", run.asked | {"outcome": content})
    return content
