"""Why the dense model is the recommended one, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgett.search import choose
from edgett.search.constraints import Objective

if TYPE_CHECKING:
    from edgett.workflow.outcome import Outcome
    from edgett.workflow.survey import Explored

_BETTER = {
    Objective.ACCURACY: "is more accurate",
    Objective.MEMORY: "takes fewer bytes",
    Objective.FLOPS: "has fewer FLOPs",
    Objective.LATENCY: "is predicted to be faster",
}


def why_dense(outcome: Outcome) -> str | None:
    """The reason; None where another solution is recommended, none is, or none was looked for."""
    exploration, picks = outcome.exploration, outcome.picks
    if exploration is None or picks is None or picks.recommended.solution.number != choose.DENSE:
        return None
    return f"The dense model holds every budget that can be checked, and {_rest(outcome, exploration)}."


def _rest(outcome: Outcome, exploration: Explored) -> str:
    """What is the matter with all other solutions."""
    if not exploration.taken:
        return unworthy(exploration)
    if outcome.larger:
        return not_smaller(outcome)
    if predicted_slower(outcome):
        matter = "take more instructions" if _counted(outcome) else "be slower"
        return f"every low-rank form of every layer is predicted to {matter} on {outcome.target.name}"
    if outcome.feasible and all(trial.emptied for trial in outcome.trials if choose.feasible(trial, outcome.limits)):
        return f"of the other solutions that do ({outcome.feasible:,}) int8 leaves no layer that is not dense again"
    if outcome.feasible:
        counted = outcome.limits.objective is Objective.LATENCY and _counted(outcome)
        better = "is predicted to take fewer instructions" if counted else _BETTER[outcome.limits.objective]
        return f"none of the other solutions that do ({outcome.feasible:,}) {better}"
    if any(trial.too_slow for trial in outcome.trials):
        return "every other solution is slower here, or breaks one"
    if not outcome.able:
        return "every other solution breaks one, as could be told before training"
    if len(outcome.trials) == 1:
        return "the one solution that was fine-tuned does not"
    return f"none of the {len(outcome.trials)} solutions that were fine-tuned does"


def _counted(outcome: Outcome) -> bool:
    """Whether instructions tell which model is faster, for nothing has told times."""
    return outcome.target.speeds is None and outcome.target.rates is not None


def not_smaller(outcome: Outcome) -> str:
    """That no layer takes fewer bytes in another form, and why."""
    runtime = outcome.target.runtime
    file = f".{runtime.format.value} in {runtime.dtype.value}"
    return f"no low-rank form of any layer takes fewer bytes of a {file} than dense: each factor has its own tables"


def predicted_slower(outcome: Outcome) -> bool:
    """Whether every layer of every candidate is predicted to be slower than a dense one, or take more instructions."""
    exploration = outcome.exploration
    if exploration is None or not outcome.slower:
        return False
    return sum(outcome.slower.values()) == sum(len(candidate.edits) for candidate in exploration.candidates)


def unworthy(exploration: Explored) -> str:
    """That no layer can be factorised, and why."""
    reasons = "; ".join(f"{item.layer.name}: {item.excluded}" for item, _ in exploration.layers)
    return f"no layer is worth factorising ({reasons or 'the model has none'})"
