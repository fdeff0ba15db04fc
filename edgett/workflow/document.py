"""What came of a run or an exploration as one JSON document: every other report is made from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from edgett.forms import catalogue, cost
from edgett.forms.site import Cost
from edgett.job.attack import ON
from edgett.schema import SCHEMA
from edgett.search.choose import DENSE, feasible, holdings
from edgett.search.constraints import (
    DROP,
    FLOPS,
    LATENCY,
    MODEL_BYTES,
    PEAK,
    ROBUST_DROP,
    UNKNOWN,
    Constraints,
    Holding,
    Lost,
)
from edgett.search.quality import Quality, Score
from edgett.search.sized import Sized
from edgett.search.solution import Solution, Trial
from edgett.search.whole import Whole
from edgett.target.estimate import basis
from edgett.workflow.explored import front_document, sized, summary

if TYPE_CHECKING:
    from edgett.model.apart import Apart
    from edgett.workflow.files import FileCheck
    from edgett.workflow.outcome import Outcome
    from edgett.workflow.release import Release
    from edgett.workflow.survey import Explored

_COUNTED = ("params", "weight_bytes", "flops", "macs")
"""What a file and its prediction must have the same of."""


def explored(exploration: Explored | Sized, others: Sequence[Apart] = ()) -> dict[str, Any]:
    """The document of `explore`: exact integers, layers in the order given; of a whole space its Pareto sets.

    Among the layers are `others` with weights, of which no more than the reason why they stay is told.
    """
    if isinstance(exploration, Sized):
        return {"schema": SCHEMA} | sized(exploration)
    content = {"schema": SCHEMA} | summary(exploration)
    if isinstance(exploration, Whole):
        for layer, (_, front) in zip(content["layers"], exploration.layers, strict=True):
            layer["front"] = front_document(front) if front is not None else []
    for other in reversed(others):
        entry = {"name": other.name, "kind": other.kind, "params": other.params, "excluded": other.reason}
        content["layers"].insert(other.after, entry)
    return content


def compressed(outcome: Outcome) -> dict[str, Any]:
    """The document of `compress` and `deploy`. The picks hold neither times nor absolute paths.

    Where the model is deployed as it is, nothing was searched, and there is no funnel.
    """
    release, limits = outcome.release, outcome.limits
    picks = outcome.picks.named() if outcome.picks else {}
    searched = {"search": None, "layers": []} if outcome.exploration is None else summary(outcome.exploration)
    return {"schema": SCHEMA, **searched} | {
        "partial": list(outcome.dense.solution.partial),
        "run": str(outcome.path),
        "model": outcome.job.model,
        "target": {
            "name": outcome.target.name,
            "title": outcome.target.title,
            "format": outcome.target.runtime.format.value,
            "dtype": outcome.target.runtime.dtype.value,
            "latency": " ".join(basis(outcome.target)),
            "here": outcome.target.here,
            "cycles_per_second": outcome.target.compute.clock.value * outcome.target.runtime.threads,
        },
        "judged_by": outcome.judged_by or None,
        "attack": _attack(outcome),
        "remarks": list(outcome.remarks),
        "funnel": None if outcome.exploration is None else _funnel(outcome, outcome.exploration),
        "baseline": _baseline(outcome),
        "trials": [_trial(trial, limits) for trial in outcome.trials],
        "picks": {
            name: _pick(picks[name], outcome, name) if name in picks else None
            for name in ("highest_accuracy", "lowest_memory", "lowest_flops", "recommended")
        },
        "constraints": [
            {"name": item.name, "limit": item.limit, "value": _number(item.value), "holds": item.holds}
            | ({"at_least": True} if item.at_least else {})
            for item in _holdings(outcome)
        ],
        "objective": limits.objective.value,
        "why_dense": outcome.why,
        "nearest_miss": _miss(outcome),
        "slower_than_dense": dict(outcome.slower),
        "timed_here": None if release.timed is None else asdict(release.timed),
        "artifacts": {name: [str(item.path) for item in items] for name, items in release.artifacts.items()},
        "left_out": {suffix.removeprefix("."): reason for suffix, reason in release.left_out.items()},
        "check": checked(release),
        "npu": {path: asdict(summary) for path, summary in release.npu.items()},
    }


def _attack(outcome: Outcome) -> dict[str, Any] | None:
    """What models were judged under too; None where nothing was attacked."""
    if (attack := outcome.attack) is None:
        return None
    steps = len(attack.strides)
    return {"by": attack.by.value, "epsilon": attack.epsilon, "steps": steps, "words": f"{attack}, {ON}"}


def checked(release: Release) -> dict[str, Any]:
    """The document of the cross-check, as in check.json."""
    return {
        "schema": SCHEMA,
        "ok": release.ok,
        "samples": "random" if release.drawn else "validation",
        "artifacts": {path: _check(check) for path, check in release.checks.items()},
    }


def _baseline(outcome: Outcome) -> dict[str, Any]:
    """The dense model as its file for the target is, and the quality of Keras's own, which drops are measured by."""
    release, dense = outcome.release, outcome.dense
    return (
        {"solution": DENSE, "edits": {}, "reverted": []}
        | _model(dense.solution, dense.quality, outcome.loses(outcome.dense))
        | _released(release, "baseline")
        | {
            "original": {
                "accuracy": scores(outcome.baseline),
                "test_accuracy": release.original and (scores(release.original) or None),
                "robust_accuracy": robust_scores(outcome.baseline),
                "test_robust_accuracy": release.original and (robust_scores(release.original) or None),
            }
        }
    )


def _funnel(outcome: Outcome, exploration: Explored) -> dict[str, int]:
    """How many were left after each step."""
    if isinstance(exploration, Whole):
        pruned = {"undominated": len(exploration.joint)}
    else:
        pruned = {"efficient": exploration.efficient, "points": exploration.joint.points}
    return {
        "layers": len(exploration.layers),
        "layers_taken": len(exploration.taken),
        "solutions": exploration.solutions,
        **pruned,
        "joint_candidates": len(exploration.candidates) + outcome.slimmer,
        "within_budgets": outcome.able,
        "fine_tuned": len(outcome.trials),
        "feasible": outcome.feasible,
    }


def _model(solution: Solution, quality: Quality, lost: Lost) -> dict[str, Any]:
    costs: Cost = solution.cost
    return {
        "params": costs.params,
        MODEL_BYTES.figure: solution.file_bytes,
        FLOPS.figure: costs.flops,
        "macs": costs.macs,
        PEAK.figure: solution.peak_bytes,
        "moved_elements": costs.moved_elements,
        LATENCY.figure: LATENCY.value(solution, lost),
        "instructions": None if (number := solution.inference.instructions) is None else round(number),
        "latency_estimate_ms": None if (guess := solution.inference.estimate_us) is None else guess / 1000,
        "at_least": sorted(row.name for row in solution.at_least),
        "accuracy": scores(quality),
        "loss": _number(quality.loss),
        DROP.figure: _number(lost.plain),
        "robust_accuracy": robust_scores(quality),
        ROBUST_DROP.figure: _number(lost.robust),
    }


def _edits(solution: Solution) -> dict[str, Any]:
    """The spec of each replaced layer."""
    return {name: catalogue.document(spec) for name, spec in solution.edits.items()}


def _removed(solution: Solution) -> dict[str, Any]:
    """How many channels layers put out no more, where any went."""
    return {"removed": dict(solution.removed)} if solution.removed else {}


def _trial(trial: Trial, limits: Constraints) -> dict[str, Any]:
    solution = trial.solution
    return (
        {
            "solution": solution.number,
            "edits": _edits(solution),
            **_removed(solution),
        }
        | _model(solution, trial.quality, trial.lost)
        | {
            "feasible": feasible(trial, limits),
            "expected_loss": solution.loss,
            "epochs": trial.epochs,
            "complete": trial.complete,
            "losses": [_number(loss) for loss in trial.losses],
            "failure": trial.failure,
            "reverted": _reverted(trial),
            "int8": _learnt(trial),
            "seed": trial.seed,
            "seconds": round(trial.seconds, 2),
        }
    )


def _pick(trial: Trial, outcome: Outcome, name: str) -> dict[str, Any]:
    solution = trial.solution
    return (
        {"solution": solution.number, "edits": _edits(solution), **_removed(solution)}
        | _model(solution, trial.quality, outcome.loses(trial))
        | {"reverted": _reverted(trial), "int8": _learnt(trial), "layers": list(_replaced(solution, outcome))}
        | _released(outcome.release, name)
        | {"test_holds": _test_holds(outcome, name)}
    )


def _test_holds(outcome: Outcome, name: str) -> bool | None:
    """Whether a pick loses no more on the test data than the budget allows; None without such a budget."""
    limit, drop = outcome.limits[DROP], _test_lost(outcome.release, name).plain
    return None if limit is None or drop is None else drop <= limit


def _test_lost(release: Release, name: str) -> Lost:
    """What a model loses on the test data against Keras's own dense one; unknown where nothing is judged."""
    test, base = release.test.get(name), release.original
    return test.lost_from(base) if test and base and base.scores else UNKNOWN


def _replaced(solution: Solution, outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Each replaced layer: what it costs, dense and in its form, and how far that was from the trained weight."""
    for found, _ in outcome.exploration.layers if outcome.exploration else ():
        layer = found.layer
        if (spec := solution.edits.get(layer.name)) is not None:
            error = outcome.errors[solution.gone][layer.name, spec]
            inputs, outputs = spec.matrix  # without channels the layer is smaller
            yield {
                "name": layer.name,
                "spec": catalogue.document(spec),
                "dense": asdict(cost.dense(layer)),
                "held": asdict(cost.held(replace(layer, inputs=inputs, outputs=outputs), spec)),
                "error": asdict(error),
            }


def _reverted(trial: Trial) -> list[dict[str, Any]]:
    """The layers that went back, in turn."""
    return [
        {
            "layer": step.layer,
            "to": step.to.value,
            "drop_before": _number(step.drop_before),
            "drop_after": _number(step.drop_after),
            "snr_db": None if step.snr_db is None else _decibel(step.snr_db),
            "slowdown": step.slowdown,
        }
        for step in trial.reverted
    ]


def _learnt(trial: Trial) -> dict[str, Any] | None:
    """What came of training on with the numbers of int8."""
    if (told := trial.int8) is None:
        return None
    drops = {"drop_before": told.drop_before, "drop_emulated": told.drop_emulated, "drop_after": told.drop_after}
    return {"epochs": told.epochs} | {name: _number(drop) for name, drop in drops.items()}


def _released(release: Release, name: str) -> dict[str, Any]:
    test, lost = release.test.get(name), _test_lost(release, name)
    return {
        "test_accuracy": test and (scores(test) or None),
        "test_drop": _number(lost.plain),
        "test_robust_accuracy": test and (robust_scores(test) or None),
        "test_robust_drop": _number(lost.robust),
        "artifacts": {item.path.suffix[1:]: {"path": str(item.path), "bytes": item.bytes, "sha256": item.sha256}
                      for item in release.artifacts.get(name, ())},
    }  # fmt: skip


def _holdings(outcome: Outcome) -> tuple[Holding, ...]:
    """What the recommended solution, its file as it was written, or else the nearest miss makes of the constraints."""
    if outcome.picks is None:
        solution, lost = outcome.miss[:2] if outcome.miss else (outcome.dense.solution, outcome.loses(outcome.dense))
        return holdings(solution, lost, outcome.limits)
    pick, suffix = outcome.picks.recommended, outcome.target.runtime.format.suffix
    written = [item.bytes for item in outcome.release.artifacts["recommended"] if item.path.suffix == suffix]
    solution = replace(pick.solution, file_bytes=written[0]) if written else pick.solution
    return holdings(solution, outcome.loses(pick), outcome.limits)


def _miss(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.miss is None:
        return None
    solution, lost, holding = outcome.miss
    return {
        "solution": solution.number,
        "edits": _edits(solution),
        **_removed(solution),
        "params": solution.cost.params,
        "flops": solution.cost.flops,
        "drop": _number(lost.plain),
        "constraint": holding.name,
        "limit": holding.limit,
        "value": _number(holding.value),
    }


def _check(check: FileCheck) -> dict[str, Any]:
    graph, numerics = check.graph, check.numerics
    layers = [
        {"name": row.layer}
        | {name: _pair(getattr(row, name)) for name in _COUNTED}
        | {"ok": row.ok}
        | _paper(check.paper, row)
        | _against_t3f(check, row.layer)
        for row in graph.layers
    ]
    return {
        "ok": check.ok,
        "verdict": check.verdict.value,
        **{name: _pair(getattr(graph, name)) for name in (*_COUNTED, "peak_bytes")},
        "plan_bytes": graph.plan_bytes,
        **({} if check.compiled_peak is None else {"c_peak_bytes": check.compiled_peak}),
        "partial": list(graph.partial),
        "mismatches": list(check.mismatches),
        "layers": layers,
        "numerics": {
            "samples": numerics.samples,
            "max_abs": _number(numerics.max_abs),
            "l2_relative": _number(numerics.l2_relative),
            "top1_agreement": numerics.top1,
            "blind": numerics.blind,
            "ok": numerics.ok,
        },
        "tensors": [
            {
                "layer": row.layer,
                "role": row.role.value,
                "tensor": row.tensor,
                "snr_db": _decibel(row.snr_db),
                "max_abs": _number(row.max_abs),
            }
            for row in check.tensors
        ],
    }


def _paper(paper: Mapping[str, int], row: Any) -> dict[str, Any]:
    if row.layer not in paper:
        return {}
    flops = paper[row.layer]
    return {"paper_flops": flops, "paper_ratio": round(flops / row.flops[1], 4) if row.flops[1] else None}


def _against_t3f(check: FileCheck, layer: str) -> dict[str, Any]:
    found = next((item for item in check.deviations if item.layer == layer), None)
    return {} if found is None else {"reference_error": _number(found.error)}


def scores(quality: Quality) -> list[dict[str, Any]]:
    """Put the figures of a quality down; None stands for what is no number."""
    return [_score(item) for item in quality.scores]


def robust_scores(quality: Quality) -> list[dict[str, Any]]:
    """Put the figures of a quality under attack down, likewise."""
    return [_score(item) for item in quality.robust]


def _score(item: Score) -> dict[str, Any]:
    return {"output": item.output, "metric": item.metric, "value": _number(item.value), "decides": item.decides}


def _pair(values: tuple[int | None, int | None]) -> dict[str, int | None]:
    return {"predicted": values[0], "found": values[1]}


def _decibel(value: float) -> float | None:
    return None if (found := _number(value)) is None else round(found, 2)


def _number(value: float | None) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if value is not None and math.isfinite(value) else None
