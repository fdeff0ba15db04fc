"""A network trained from its initial weights, most of the time in low-rank forms: that is faster where they are."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgett.errors import Infeasible, ToolError, UsageError
from edgett.forms.spec import Spec
from edgett.job.job import Job, target_of
from edgett.meter import Meter
from edgett.schema import SCHEMA
from edgett.search import choose
from edgett.search.constraints import CONSTRAINTS, FLOPS, LOSSES, UNKNOWN
from edgett.search.explore import dense_solution
from edgett.search.solution import Solution
from edgett.system import folders
from edgett.target.profile import constraints
from edgett.train.phases import Checkpoint, Epochs, Phase, beside, described
from edgett.workflow import inputs
from edgett.workflow.document import scores
from edgett.workflow.proposal import proposed
from edgett.workflow.survey import Room, graphs
from edgett.workflow.terms import baseline, costing_of

if TYPE_CHECKING:
    from edgett.train.data import Data
    from edgett.train.finetune import Tuner
    from edgett.train.training import Training

TENTH = 0.1
"""The share of its FLOPs that a network may keep which holds the target's budgets as it is: else there is no gain."""

SHORTLIST = 16
"""Candidates that are weighed by what layers lose on training inputs."""

SEARCH = "search"
WORDS = {Phase.DENSE: "training dense", Phase.LOW_RANK: "training in low rank", Phase.AGAIN: "training dense again"}


def train(job: Job, plan: Epochs, out: Path, *, resume: bool, meter: Meter) -> dict[str, Any]:
    """Train a network as planned, and write it as a Keras file. Beside it lies a checkpoint until all is done.

    Args:
        job: names the model, the data and the target; its seed, rate and batch size are those of the training.
        plan: the epochs.
        out: the `.keras` file to write, whole or not at all.
        resume: go on from the checkpoint.
        meter: hears of the stages.

    Returns:
        The document of `edgett train`.

    Raises:
        DataError: for data without labels.
        Infeasible: where no solution holds the target's budgets.
        ToolError: where the training diverges, or a file cannot be written.
        UsageError: for a checkpoint that is not there, or of another training, and for a file that cannot be there.
    """
    from edgett.train import finetune

    if out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"{out} is no place for a file.", "Give --out a file in a directory that there is.")
    finetune.make_deterministic()
    inputs.announced(job, meter)
    model, data = inputs.initial(job, meter)
    school = _School(job, plan, model, data, beside(out), meter)
    _ = school.room
    trained = school.train(school.resumed() if resume else None)
    written = school.kept(trained)
    with folders.scratch() as folder:
        from edgett.model.models import save_model

        save_model(written, folder / "trained.keras")
        folders.put((folder / "trained.keras").read_bytes(), out, "model")
    school.checkpoint.unlink(missing_ok=True)
    return school.document(trained, written, out)


@dataclass(frozen=True)
class _Trained:
    """A model, and how far it has come."""

    model: Any
    so_far: Checkpoint


@dataclass
class _School:
    """What all phases have in common; `seconds` is added to as they pass."""

    job: Job
    plan: Epochs
    source: Any
    data: Data
    checkpoint: Path
    meter: Meter
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from edgett.job.choices import Recover
        from edgett.train.finetune import Recipe, Tuner
        from edgett.train.quality import Ask, judge

        job = self.job
        judged = judge(self.source, self.data.train.y, Ask(job.yardstick, labelled=True))
        recipe = Recipe(self.plan.total, job.batch_size, job.seed, None, job.learning_rate, Recover.DISTILL)
        self.tuner: Tuner = Tuner(self.source, self.data.train, self.data.validation, judged, recipe)

    @property
    def ground(self) -> str:
        """What a checkpoint stands on, in short."""
        from edgett.model import users
        from edgett.train.augmented import Augmented

        job, optimizer = self.job, self.source.optimizer if self.source.compiled else None
        how = None if optimizer is None else (type(optimizer).__name__, optimizer.get_config())
        modules = filter(None, (job.custom_objects, job.yardstick.module if job.yardstick else None))
        digests = [self.data.digest, *(users.digest(one) for one in modules)]
        if isinstance(train := self.data.train, Augmented):
            digests.append(train.augment.way.digest)
        stands = job, target_of(job), self.plan, how, digests
        digest = hashlib.sha256(f"{self.source.to_json()} {stands!r}".encode())
        for weight in self.source.get_weights():
            digest.update(weight.tobytes())
        return digest.hexdigest()

    def resumed(self) -> Checkpoint:
        """How far an earlier training has come."""
        if not self.checkpoint.exists():
            raise UsageError(f"there is no {self.checkpoint} to go on from.", "Leave --resume out, to train anew.")
        return Checkpoint.load(self.checkpoint, self.ground)

    def train(self, begun: Checkpoint | None) -> _Trained:
        """Through all phases, or those that are left."""
        so_far = begun or Checkpoint(0, (), {}, {}, b"")
        self.seconds.update(so_far.seconds)
        at, model = self.plan.phase_of(so_far.done), None
        for phase, epochs in self.plan.phases.items():
            if epochs.stop < so_far.done:
                continue
            edits = so_far.edits
            if phase is Phase.LOW_RANK and not edits:
                edits = self._chosen(self.source if model is None else model)
            taken_up = phase is at and bool(so_far.state)
            training = self._training(phase, model, edits, taken_up)
            if taken_up:
                training.resume(so_far.state)
            so_far = Checkpoint(so_far.done, so_far.losses, self.seconds, edits, so_far.state)
            so_far = self._taught(phase, training, so_far)
            model = training.model
        assert model is not None
        return _Trained(model, so_far)

    def _taught(self, phase: Phase, training: Training, so_far: Checkpoint) -> Checkpoint:
        """The epochs of a phase that are left; the checkpoint is written after each."""
        from edgett.train.finetune import batches, trouble
        from edgett.train.rates import falling

        size, every = self.job.batch_size, batches(len(self.data.train), self.job.batch_size)
        left = range(so_far.done, self.plan.phases[phase].stop)
        if not left:
            return so_far
        with (
            self._timed(phase.value),
            self.meter.stage(f"{WORDS[phase]}, {_epochs(len(left))}", len(left) * every) as advance,
        ):
            for epoch in left:
                loss = training.epoch(epoch, size, falling(training.rate, epoch, every, self.plan.total), advance)
                if told := trouble(training.model, loss):
                    raise ToolError(
                        f"the training diverged: {told} in epoch {epoch + 1}.", "Try a lower --learning-rate."
                    )
                so_far = Checkpoint(epoch + 1, (*so_far.losses, loss), self.seconds, so_far.edits, training.state())
                so_far.save(self.checkpoint, self.ground)
        return so_far

    def _training(self, phase: Phase, before: Any, edits: Mapping[str, Spec], taken_up: bool) -> Training:
        """A phase as it begins, with the weights of the one `before`, or as it is taken up: then they do not matter."""
        from edgett.model.layers import substituted
        from edgett.train.training import Training

        tuner, solution = self.tuner, _solution(edits)
        if phase is Phase.LOW_RANK:
            own = tuner if before is None else tuner.of(before)
            model = own.begun(solution, {} if taken_up else own.beginnings.of(solution))
        else:
            dense = substituted(self.source, {})
            if before is not None:
                _rebuild(dense, before, edits)
            model = tuner.compiled(dense)
        return Training(model, self.data.train, self.job.seed, None, tuner.first_rate(model))

    @cached_property
    def room(self) -> Room:
        """What the network has to keep: asked before the first epoch, for what it costs does not depend on weights."""
        from edgett.model.kinds import searched
        from edgett.model.worth import Wish, replaceable

        job, target = self.job, target_of(self.job)
        costing = costing_of(target, job.batch)
        graph = graphs(self.source, costing)
        dense = dense_solution(graph(frozenset()), costing)
        limits = constraints(target, baseline(dense))
        wish = Wish(job.least_share, job.only_layer, job.skip_layer)
        found = replaceable(self.source, wish, searched(job.search))
        if all(item.excluded is not None for item in found):
            reasons = "; ".join(f"{item.layer.name}: {item.excluded}" for item in found)
            raise Infeasible(f"no layer of this network is to be put into a form: {reasons}.", "edgett explore MODEL")
        if not choose.broken(dense, UNKNOWN, limits):
            self.meter.say(f"the network holds all budgets as it is: it may keep {TENTH:.0%} of its FLOPs (--flops)")
            limits = limits.with_limits({FLOPS: TENTH * dense.cost.flops})
        return Room(graph, limits, costing, self.data.train.stream)

    def _chosen(self, model: Any) -> Mapping[str, Spec]:
        """The forms of the solution that is expected to lose least of those that hold the budgets."""
        with self._timed(SEARCH):
            room = replace(self.room, graph=graphs(model, self.room.costing))
            found = proposed(self.job, model, room, self.meter)
            if not found.able:
                held = ", ".join(row.name for row in CONSTRAINTS if room.limits[row] is not None and row not in LOSSES)
                raise Infeasible(
                    f"no low-rank form of this network holds what is asked of it: {held}.",
                    'Ask for less, as by --flops "50 %", or train another network.',
                )
            return self._least(model, found.able).edits

    def _least(self, model: Any, able: tuple[Solution, ...]) -> Solution:
        from edgett.model import weigh

        best = sorted(able, key=lambda one: (one.loss or 0.0, one.number))[:SHORTLIST]
        if any(one.windowed for one in best):
            return best[0]
        with self.meter.stage("weighing the candidates", len(weigh.specs_of(best))) as advance:
            losses = weigh.output_losses(model, self.data.train.stream, best, advance)
        return best[losses.index(min(losses))]

    def kept(self, trained: _Trained) -> Any:
        """What is written: compiled as the network was, ready to be trained on."""
        from edgett.model.layers import substituted
        from edgett.train import finetune

        finetune.finish(trained.model)
        dense = self.plan.phase_of(trained.so_far.done) is not Phase.LOW_RANK
        edits = {} if dense else trained.so_far.edits
        solution = _solution(edits)
        model = finetune.compressed(self.source, solution, self.tuner.judge) if edits else substituted(self.source, {})
        model.set_weights(trained.model.get_weights())
        return model

    def document(self, trained: _Trained, written: Any, out: Path) -> dict[str, Any]:
        """What came of it."""
        from edgett.train.assess import assess

        validation, test = (
            assess(written, split, self.tuner.judge) for split in (self.data.validation, self.data.test)
        )
        return {
            "schema": SCHEMA,
            "model": self.job.model,
            "written": str(out),
            "epochs": {phase.value: len(self.plan.phases.get(phase, ())) for phase in Phase},
            "seconds": {name: self.seconds.get(name, 0.0) for name in (*(phase.value for phase in Phase), SEARCH)},
            "losses": list(trained.so_far.losses),
            "layers": described(trained.so_far.edits),
            "params": {"before": self.source.count_params(), "after": written.count_params()},
            "accuracy": scores(validation),
            "test_accuracy": scores(test),
        }

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.monotonic() - begun


def _solution(edits: Mapping[str, Spec]) -> Solution:
    """Layers in forms, whatever they cost."""
    from edgett.forms.site import Cost

    return Solution(0, dict(edits), Cost(0, 0), 0)


def _rebuild(dense: Any, trained: Any, edits: Mapping[str, Spec]) -> None:
    """Give a dense model the weights of one in forms: those of its forms multiplied out."""
    from edgett.model.in_form import LayerInForm
    from edgett.model.layers import spots_of

    places = {id(place.layer): place for place in spots_of(dense, edits).values()}

    def copy(layers: Sequence[Any], others: Sequence[Any]) -> None:
        for layer, other in zip(layers, others, strict=True):
            if isinstance(other, LayerInForm) and not isinstance(layer, LayerInForm):
                place = places[id(layer)]
                weight = other.spec.dense([factor.numpy() for factor in other.factors])
                bias = None if other.bias is None else other.bias.numpy()
                place.kind.give(place.layer, place.site, weight.astype(np.float32), bias)
            elif hasattr(layer, "layers"):
                copy(layer.layers, other.layers)
            else:
                layer.set_weights(other.get_weights())

    copy(dense.layers, trained.layers)


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"
