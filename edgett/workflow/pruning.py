"""With --prune channels: the model without those channels that matter least, of which the search proposes as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgett.errors import ModelError
from edgett.job.choices import Prune
from edgett.job.job import Job
from edgett.meter import Meter
from edgett.run.directory import Run
from edgett.search import choose
from edgett.search.constraints import UNKNOWN
from edgett.search.explore import dense_solution
from edgett.search.solution import Solution
from edgett.workflow.inputs import Inputs
from edgett.workflow.original import FOLDER
from edgett.workflow.proposal import Proposal, proposed
from edgett.workflow.survey import Explored, Room, graphs

if TYPE_CHECKING:
    from edgett.model.slim.pruned import Pruned

SHARES = (0.85, 0.7, 0.55, 0.4, 0.25)
"""Of the parameters and FLOPs of all layers, on average, what the slimmer models have left before ranks are lowered."""


def slimmer(given: Inputs, job: Job, meter: Meter) -> Inputs:
    """The inputs with the model that is slimmer by several shares, where the job asks for that.

    Raises:
        ModelError: for a model of which no channel can go.
    """
    from edgett.model.slim.pruned import Pruning

    if job.prune is Prune.NOTHING:
        return given

    def may(path: str) -> bool:
        return path not in job.skip_layer and (not job.only_layer or path in job.only_layer)

    found: dict[int, Pruned] = {}
    with meter.stage("looking for channels that matter least", len(SHARES)) as advance:
        pruning = Pruning(given.source, given.data.train.stream, may)
        for share in SHARES:
            if (one := pruning.pruned(share)) is not None:
                found[one.gone] = one
            advance(1)
    if not found:
        raise ModelError(
            f"{job.model} has no channels that may go: inputs and outputs stay, and so does what is tied to them, what"
            " a layer reads that edgett cannot fit anew, and what --skip-layer and --only-layer leave alone.",
            "Leave --prune channels out.",
        )
    counts = [f"{gone:,}" for gone in found]
    told = " and ".join(filter(None, (", ".join(counts[:-1]), counts[-1])))
    meter.say(f"Note: besides the model as it is, it is tried without the {told} channels that matter least.")
    return replace(given, pruned=found)


def joint(found: Proposal, job: Job, inputs: Inputs, room: Room, meter: Meter) -> Proposal:
    """The proposal with the solutions of the slimmer models, and these models as they are.

    What a solution is expected to lose is what the missing channels cost and what its forms do.

    Args:
        found: what is proposed of the model with all channels.
        job: what is asked.
        inputs: with the slimmer models.
        room: that of the model with all channels.
        meter: hears of the stages.

    Returns:
        All of them, numbered on.
    """
    every, slower = list(found.solutions), dict(found.slower)
    explored: dict[int, Explored] = {}
    for gone, pruned in inputs.pruned.items():
        model = inputs.source_of(gone)
        graph = graphs(model, room.costing)
        other = proposed(job, model, replace(room, graph=graph), meter)
        explored[gone] = other.exploration
        # As it is, it has to be trained, which a frozen model cannot be.
        whole = [dense_solution(graph(frozenset()), room.costing)] if model.trainable_weights else []
        for item in (*other.solutions, *whole):
            loss = (item.loss or 0.0) + pruned.lost
            every.append(replace(item, number=len(every), loss=loss, removed=pruned.removed))
        slower |= {name: slower.get(name, 0) + count for name, count in other.slower.items()}
    able = tuple(item for item in every if not choose.broken(item, UNKNOWN, room.limits))
    larger = found.larger and not inputs.pruned
    return Proposal(found.exploration, tuple(every), able, slower, larger, explored)


def keep(chosen: Sequence[Solution], inputs: Inputs, run: Run) -> None:
    """Write into the run the slimmer models that solutions are made of, for them to be exported again elsewhere."""
    from edgett.model.models import save_model

    for gone in sorted({solution.gone for solution in chosen} - {0}):
        with run.writing(str(FOLDER / f"{called(gone)}.keras")) as part:
            save_model(inputs.source_of(gone), part)


def called(gone: int) -> str:
    """What the file of a model without so many channels is called."""
    return f"pruned-{gone}"


def of_each(some: Sequence[Solution]) -> Mapping[int, list[Solution]]:
    """The solutions by how many channels are gone."""
    found: dict[int, list[Solution]] = {}
    for solution in some:
        found.setdefault(solution.gone, []).append(solution)
    return found
