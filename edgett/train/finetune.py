"""Step 6: a solution's factors start from the decomposed trained weights and train on for a few epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgett.forms.spec import Spec
from edgett.forms.start import Start
from edgett.job.choices import Recover
from edgett.model.layers import compilation, factored_layers, replace, substituted
from edgett.model.levels import level
from edgett.model.models import pack_weights
from edgett.model.shifts import shift
from edgett.model.slim.pruned import Pruned
from edgett.search.quality import Quality
from edgett.search.solution import Solution
from edgett.train.assess import PREDICTED, assess
from edgett.train.attacks import Adversary, under_attack
from edgett.train.beginnings import Beginnings
from edgett.train.data import Split
from edgett.train.methods import METHODS
from edgett.train.methods.method import Method
from edgett.train.patience import Patience
from edgett.train.pulled import Pull, Pulled
from edgett.train.quality import Judge
from edgett.train.rates import falling, starting_rate, unscheduled
from edgett.train.stopwatch import Stopwatch
from edgett.train.training import BATCHES, Teacher, Training


@dataclass(frozen=True)
class Recipe:
    """How every solution is fine-tuned.

    `patience`: stop after so many epochs without a lower validation loss. `learning_rate`: where the rate starts; None
    takes it from the model's optimiser (see `starting_rate`).
    """

    epochs: int = 3
    batch_size: int = 128
    seed: int = 0
    patience: int | None = None
    learning_rate: float | None = None
    recover: Recover = Recover.PLAIN


@dataclass(frozen=True)
class Task:
    """Train a solution up to `until` epochs; `state` and `epochs` are what an earlier task left it with.

    Parts of an epoch are whole batches. Up to 0 epochs nothing is trained, but it is told how long that would take.
    """

    solution: Solution
    until: float
    epochs: float = 0
    state: bytes | None = None


@dataclass(frozen=True)
class TrainingPace:
    """Seconds that a training takes: to begin, for each batch, and to judge what came of it."""

    begin: float
    batch: float
    judge: float


@dataclass(frozen=True)
class Tuned:
    """What came of a task. `losses`: what it adds to each epoch's mean training loss; `failure` says why it stopped.

    `weights` are those of the layers that were trained, by path; `state` goes on from here, None when all is done.
    `pace` is there after a task of no epochs, and nothing else; `pull` where the dense model was trained first.
    """

    quality: Quality
    losses: tuple[float, ...]
    seconds: float
    weights: bytes = b""
    state: bytes | None = None
    failure: str | None = None
    pace: TrainingPace | None = None
    pull: Pull | None = None


def make_deterministic() -> None:
    """The same seeds give the same weights from here on, in this process and in another like it."""
    tf.config.experimental.enable_op_determinism()


def compressed(
    model: keras.Model, solution: Solution, judge: Judge, starts: Mapping[str, Start] | None = None
) -> keras.Model:
    """The model with the solution's layers in their forms, compiled as the model is, or as its outputs suggest.

    They begin with `starts` where they are given, else with the best factors of their weights.
    """
    begun = starts or {}
    twin = replace(model, solution.edits, {path: start.factors for path, start in begun.items()})
    shift(twin, {path: start.shift for path, start in begun.items() if start.shift is not None})
    if not twin.compiled:
        judge.compile(twin)
    for layer in factored_layers(twin).values():
        layer.trainable = True
    return twin


@contextmanager
def _without_grappler() -> Iterator[None]:
    """Going through the graph of a training step takes it a tenth of a short task; the steps are no faster for it."""
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options(before)


LIVE = 1 << 28
"""Bytes that the trainings that wait for their next task may take."""


ENOUGH = 0.25
"""Seconds of batches that tell how long one takes."""

FEW = 1 / 20
"""The share of a solution's batches that is tried at most, twice."""

FORWARD = 1 / 3
"""The share of a training step that is the forward pass."""


@dataclass(frozen=True)
class Tuner:
    """Fine-tunes solutions of one model on the same data.

    `starts`: by path and spec where layers start from that have been fitted already, each for itself. `pruned`: by the
    channels that are gone the model without them. `tutor`: that of the model to learn from; None: it is this one.
    """

    model: keras.Model
    train: Split
    validation: Split
    judge: Judge
    recipe: Recipe
    starts: Mapping[tuple[str, Spec], Start] = field(default_factory=dict)
    pruned: Mapping[int, Pruned] = field(default_factory=dict)
    tutor: Method | None = None

    def run(self, task: Task, advance: Callable[[int], None]) -> Tuned:
        """Do a task. `advance` hears of batches."""
        if (gone := task.solution.gone) in self.pruned:
            return self._without(gone).run(task, advance)
        with _without_grappler():
            return self._run(task, advance) if task.until else self._paced(task)

    def _run(self, task: Task, advance: Callable[[int], None]) -> Tuned:
        started = time.monotonic()
        training = self._live.pop((task.solution.number, task.epochs), (None, 0))[0] or self._training(task)
        model, size = training.model, self.recipe.batch_size
        patience = Patience(self.recipe.patience)
        losses: list[float] = []
        pull: Pull | None = None
        for epoch, part in _parts(task, batches(len(self.train), size)):
            if isinstance(training, Pulled) and epoch >= self._before:
                training, pull = self._cut(task.solution, training)
                model = training.model
            losses.append(training.epoch(epoch, size, self._rates(training.rate, epoch), advance, part))
            if told := trouble(model, losses[-1]):
                return _lost(losses, started, f"{told} in epoch {epoch + 1}")
            if (
                self.recipe.patience is not None
                and epoch >= self._before
                and patience.over(model, self._quality(model).loss)
            ):
                break
        state = training.state() if task.until < self.recipe.epochs else None
        if state is not None:
            self._keep(task, training, len(state))
        else:
            finish(model)
        dense = isinstance(training, Pulled)
        if isinstance(training, Pulled):
            cut, pull = self._cut(task.solution, training)
            model = cut.model
        quality = self._quality(model)
        if _near(model) and not dense:
            quality = self._no_worse(task.solution, model, quality, ended=state is None)
        if quality.loss is not None and not np.isfinite(quality.loss):
            return _lost(losses, started, f"its loss on the validation data became {quality.loss}")
        quality = under_attack(quality, self._adversary, model, self.validation)
        return Tuned(quality, tuple(losses), time.monotonic() - started, pack_weights(model), state, pull=pull)

    def _no_worse(self, solution: Solution, model: keras.Model, quality: Quality, *, ended: bool) -> Quality:
        """What the model can do at least: a short training may make worse what was fitted, and is undone at the end."""
        begun = self.begun(solution, self.beginnings.of(solution))
        before = self._quality(begun)
        better = self._method.undoes and before.drop_from(quality) < 0
        if ended:
            if better:
                model.set_weights(begun.get_weights())
            level(model, self.train.stream)
        return before if better else quality

    def ready(self) -> None:
        """Do what is done once, for all solutions."""
        _ = self._method.teacher

    def _paced(self, task: Task) -> Tuned:
        """Begin a training, try some batches, and put it back to where it began: whoever wants it finds it begun."""
        self.ready()
        self._method.prepare(task.solution.edits)
        begun = Stopwatch()
        training = self._training(task)
        size = sum(math.prod(one.shape) * tf.as_dtype(one.dtype).size for one in training.variables())
        state = training.state() if size <= LIVE else None
        every = batches(len(self.train), self.recipe.batch_size)
        rates = self._rates(training.rate, 0)

        def take(count: int) -> float:
            watch = Stopwatch()
            training.epoch(0, self.recipe.batch_size, rates, lambda _: None, range(count))
            return watch.seconds

        take(1)
        begin = begun.seconds
        batch = take(1)
        few = max(round(FEW * every * self.recipe.epochs), 1)
        if (count := min(every, few, BATCHES, round(ENOUGH / max(batch, 1e-4)))) > 1:
            batch = min(take(count), take(count)) / count  # the first ones find caches cold
        judging = Stopwatch()
        assess(training.model, self.validation.take(slice(PREDICTED)), self.judge)
        left = max(len(self.validation) - PREDICTED, 0)
        judge = judging.seconds + left / self.recipe.batch_size * batch * FORWARD
        if state is not None:
            training.resume(state)
            self._keep(task, training, size)
        return Tuned(Quality(()), (), begun.seconds, pace=TrainingPace(max(begin - batch, 0.0), batch, judge))

    def _training(self, task: Task) -> Training:
        """As the task finds it."""
        keras.utils.set_random_seed(self.recipe.seed)
        if task.epochs <= self._before and self._before:
            training: Training = self._pulled(task.solution)
        else:
            model = self.begun(task.solution, {} if task.state else self.beginnings.of(task.solution))
            training = self._in_forms(model)
        if task.state is not None:
            training.resume(task.state)
        return training

    @property
    def _before(self) -> int:
        """The epochs that the dense model trains first."""
        return int(self._method.before * self.recipe.epochs)

    def _pulled(self, solution: Solution) -> Pulled:
        model = self.compiled(substituted(self.model, {}))
        steps = self._before * batches(len(self.train), self.recipe.batch_size)
        teacher, rate = self._method.teacher, self.first_rate(model)
        return Pulled(model, solution.edits, self.train, self.recipe.seed, steps, teacher, rate)

    def of(self, trained: keras.Model) -> Tuner:
        """The same for the model after it was trained on: compiled as it was, for the rate of that one has fallen."""
        model = substituted(self.model, {})
        model.set_weights(trained.get_weights())
        return replaced(self, model=model, starts={})

    def _in_forms(self, model: keras.Model) -> Training:
        return self._method.training(model, self.train, self.recipe.seed, self.first_rate(model))

    def _cut(self, solution: Solution, pulled: Pulled) -> tuple[Training, Pull]:
        """What was pulled towards forms is put into them."""
        own = self.of(pulled.model)
        begun = own.begun(solution, own.beginnings.of(solution))
        return self._in_forms(begun), Pull(tuple(pulled.distances), self._quality(begun))

    def _without(self, gone: int) -> Tuner:
        """That of the model without so many channels, which learns from the whole one."""
        if gone not in self._smaller:
            pruned, tutor = self.pruned[gone], self._method
            small = replaced(self, model=pruned.of(self.model), starts=pruned.starts, pruned={}, tutor=tutor)
            self._smaller[gone] = small
        return self._smaller[gone]

    @cached_property
    def _smaller(self) -> dict[int, Tuner]:
        return {}

    @cached_property
    def _live(self) -> dict[tuple[int, float], tuple[Training, int]]:
        """Trainings that may go on, by solution and epochs, with their bytes: tracing them again takes a while."""
        return {}

    def _keep(self, task: Task, training: Training, size: int) -> None:
        self._live[task.solution.number, task.until] = training, size
        while sum(size for _, size in self._live.values()) > LIVE:
            del self._live[next(iter(self._live))]

    @cached_property
    def _method(self) -> Method:
        return METHODS[self.recipe.recover](self.model, self.judge, self.train, self.tutor)

    @property
    def teacher(self) -> Teacher | None:
        """What solutions learn from beside the labels."""
        return self._method.teacher

    @cached_property
    def _adversary(self) -> Adversary | None:
        return Adversary.of(self.judge, self.train.x)

    @cached_property
    def beginnings(self) -> Beginnings:
        """Finds where solutions start from."""
        return Beginnings(self._method, self.validation, self.judge, self.starts)

    def begun(self, solution: Solution, starts: Mapping[str, Start]) -> keras.Model:
        """The model of a solution, ready to be trained, with its layers at their `starts`, by path."""
        model = self.compiled(compressed(self.model, solution, self.judge, starts))
        for layer in factored_layers(model).values():
            layer.training_rows, layer.inference_rows = self.recipe.batch_size, PREDICTED
        return model

    def compiled(self, model: keras.Model) -> keras.Model:
        """A model compiled for training, as the dense one is or as its outputs suggest, at a rate that can be set."""
        if not model.compiled:
            self.judge.compile(model)
        given = compilation(model)
        # Nobody reads the metrics of training, and XLA takes longer to compile than a few epochs win.
        how = given | {"metrics": None, "weighted_metrics": None, "jit_compile": False}
        how["optimizer"] = unscheduled(given["optimizer"])
        # Without labels the dense model's outputs stand for them, which other losses take.
        model.compile(**how if self.judge.ask.labelled else how | {"loss": self.judge.losses(model)})
        return model

    def first_rate(self, model: keras.Model) -> float:
        """Of a model that was just compiled: an optimiser tells the rate that it has now."""
        asked = self.recipe.learning_rate
        return starting_rate(model.optimizer, near=_near(model)) if asked is None else asked

    def _rates(self, first: float, epoch: int) -> NDArray[np.float32]:
        """The learning rates of an epoch; those of the dense model fall by themselves."""
        every, before = batches(len(self.train), self.recipe.batch_size), self._before
        begin, end = (0, before) if epoch < before else (before, self.recipe.epochs)
        return falling(first, epoch - begin, every, end - begin)

    def _quality(self, model: keras.Model) -> Quality:
        return assess(model, self.validation, self.judge)


def _near(model: keras.Model) -> bool:
    """Whether layers start from what was fitted to data, or are dense still: they are near their end already."""
    layers = factored_layers(model).values()
    return not layers or any(layer.spec.windowed for layer in layers)


def trouble(model: keras.Model, loss: float) -> str | None:
    """Tell what has become of a training that diverged. Kernels that fuse ReLU may hide it from the loss."""
    if not np.isfinite(loss):
        return f"its loss became {loss}"
    if not all(bool(tf.reduce_all(tf.math.is_finite(weight.value))) for weight in model.trainable_weights):
        return "its weights became infinite or nan"
    return None


def finish(model: keras.Model) -> None:
    """Do what is left to do after training. The final quality is that of what is exported, to the last digit."""
    if model.optimizer.use_ema:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    for layer in factored_layers(model).values():
        layer.inference_rows = None


def _parts(task: Task, every: int) -> Iterator[tuple[int, range]]:
    """The epochs of a task, and which of their `every` batches."""
    begin, end = round(task.epochs * every), round(task.until * every)
    for epoch in range(begin // every, -(-end // every)):
        yield epoch, range(max(begin - epoch * every, 0), min(end - epoch * every, every))


def _lost(losses: list[float], started: float, failure: str) -> Tuned:
    return Tuned(Quality(()), tuple(losses), time.monotonic() - started, failure=failure)


def batches(samples: int, size: int) -> int:
    """The batches of an epoch."""
    return -(-samples // size)
