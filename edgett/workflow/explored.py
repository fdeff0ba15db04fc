"""An exploration as a part of a document: its layers, how many solutions each step left, Pareto sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgett.forms import catalogue, cost
from edgett.forms.front import Front, Space
from edgett.forms.site import Cost, CostModel, Found
from edgett.search.choices import Strategy
from edgett.search.explore import Exploration
from edgett.search.sized import Sized
from edgett.search.whole import Whole

if TYPE_CHECKING:
    from edgett.forms.spec import Spec
    from edgett.workflow.survey import Explored


def summary(exploration: Explored) -> dict[str, Any]:
    """What was explored, and how much of it there is."""
    return _whole(exploration) if isinstance(exploration, Whole) else _grid(exploration)


def _grid(exploration: Exploration) -> dict[str, Any]:
    grid = exploration.grid
    return {
        "search": Strategy.GRID.value,
        "cost_model": grid.model.value,
        "ranks": list(grid.max_ranks),
        "grid": grid.size,
        "empty_tiles": grid.empty.value,
        "layers": [
            _layer(found)
            | {
                "solutions": space.solutions if space else 0,
                "efficient": space.efficient if space else 0,
                "occupied_tiles": len(space.corners) if space else 0,
            }
            for found, space in exploration.layers
        ],
        "totals": {
            "solutions": exploration.solutions,
            "efficient": exploration.efficient,
            "shared_tiles": exploration.joint.tiles,
            "points": exploration.joint.points,
            "joint_candidates": len(exploration.joint.candidates),
        },
    }


def _whole(exploration: Whole) -> dict[str, Any]:
    search = exploration.search
    return {
        "search": Strategy.PARETO.value,
        "cost_model": CostModel.EXACT.value,
        "rank_multiple": search.rank_multiple,
        "max_rank": search.max_rank,
        "estimate": search.estimate.value,
        "layers": [
            _layer(found)
            | {
                "solutions": front.solutions if front is not None else 0,
                "undominated": len(front) if front is not None else 0,
                "epsilon": front.epsilon if front is not None else 0.0,
            }
            for found, front in exploration.layers
        ],
        "totals": {
            "solutions": exploration.solutions,
            "undominated": len(exploration.joint),
            "joint_candidates": len(exploration.candidates),
            "epsilon": exploration.epsilon,
        },
    }


def sized(exploration: Sized) -> dict[str, Any]:
    """All that layers given by size may be held as."""
    return {
        "search": Strategy.PARETO.value,
        "cost_model": CostModel.EXACT.value,
        "rank_multiple": exploration.search.rank_multiple,
        "layers": [
            _layer(found) | {"solutions": space.solutions, "efficient": len(space), "space": _space_document(space)}
            for found, space in exploration.layers
        ],
        "totals": {"solutions": exploration.solutions, "efficient": exploration.efficient},
    }


def _layer(found: Found) -> dict[str, Any]:
    dense = cost.dense(found.layer)
    return {
        "name": found.layer.name,
        "inputs": found.layer.inputs,
        "outputs": found.layer.outputs,
        "positions": found.layer.positions,
        **({"window": found.layer.size} if found.layer.window else {}),
        "params": dense.params,
        "flops": dense.flops,
        "excluded": found.excluded,
    }


def front_document(front: Front) -> list[dict[str, Any]]:
    rows = zip(front.specs, front.costs, front.losses, front.errors, strict=True)
    return [
        _point(spec, costs)
        | {"loss": loss, "error": {"low": error.low, "estimate": error.estimate, "high": error.high}}
        for spec, costs, loss, error in rows
    ]


def _space_document(space: Space) -> list[dict[str, Any]]:
    return [_point(spec, costs) for spec, costs in zip(space.specs, space.costs, strict=True)]


def _point(spec: Spec, costs: Cost) -> dict[str, Any]:
    return {
        "spec": catalogue.document(spec),
        "params": costs.params,
        "flops": costs.flops,
        "peak_elements": costs.peak_elements,
        "moved_elements": costs.moved_elements,
    }
