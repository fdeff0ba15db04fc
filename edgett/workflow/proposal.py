"""Steps 1 to 5: the solutions that a job asks for, by what is known of them before any is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgett.job.job import Job
from edgett.meter import Meter
from edgett.search import choose
from edgett.search import explore as space
from edgett.search.constraints import UNKNOWN, Objective
from edgett.search.solution import Solution
from edgett.workflow.survey import Explored, Room, survey


@dataclass(frozen=True)
class Proposal:
    """What is explored, the `solutions` of it, and those inside the budgets that can be told before training.

    `slower`: in how many candidates a layer stays dense because its low-rank form is predicted to be slower. `larger`:
    whether no low-rank form of any layer takes fewer bytes of the file than the dense one. `pruned`: by how many
    channels are gone, what is explored of the slimmer models.
    """

    exploration: Explored
    solutions: tuple[Solution, ...]
    able: tuple[Solution, ...]
    slower: Mapping[str, int]
    larger: bool
    pruned: Mapping[int, Explored] = field(default_factory=dict)

    def explored(self, gone: int) -> Explored:
        """What is explored of the model without so many channels."""
        return self.pruned[gone] if gone else self.exploration


def proposed(job: Job, model: Any, room: Room, meter: Meter) -> Proposal:
    """Every solution of the layers that are worth it, costed; the inefficient discarded; the rest pruned, joined."""
    from edgett.model.kinds import searched
    from edgett.model.worth import Wish, replaceable

    graph, limits, costing = room.graph, room.limits, room.costing
    found = replaceable(model, Wish(job.least_share, job.only_layer, job.skip_layer), searched(job.search))
    exploration = survey(model, found, job, room, meter)
    candidates = space.smaller(exploration.candidates if exploration.taken else (), graph, costing)
    larger = bool(exploration.taken) and not candidates
    slower: Mapping[str, int] = {}
    if limits.objective is not Objective.MEMORY:
        candidates, slower = space.not_slower(candidates, graph, costing)
    with meter.stage("costing the candidates", len(candidates)) as advance:
        solutions = space.solutions(candidates, graph, costing, advance)
    able = tuple(item for item in solutions if not choose.broken(item, UNKNOWN, limits))
    return Proposal(exploration, solutions, able, slower, larger)
