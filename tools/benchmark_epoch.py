"""Where an epoch of a compressed ResNet-8 goes: `python tools/benchmark.py finetune --model resnet8`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgett.forms import cost
from edgett.forms.convolution.chain import Chain
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.start import Start
from edgett.job.choices import Recover
from edgett.search.explore import solutions
from edgett.search.solution import Candidate, Solution

if TYPE_CHECKING:
    from edgett.train.data import Data
    from edgett.train.finetune import Tuner
    from edgett.train.training import Training

Call = Callable[[], object]
Clocks = NDArray[np.float64]

FORMS: Mapping[str, type[Chain]] = {"CP": CP, "spatial SVD": SpatialSVD, "Tucker-2": Tucker2}
BATCH = 128
SHARE = 0.45
"""Of the MACs of every layer that is compressed."""
CHANNELS = 16
"""A layer that reads fewer stays dense."""


def ways_through_an_epoch(data: str, images: int, turns: int) -> None:
    """Time ways through an epoch of some images, in turn; then the parts of one."""
    from edgett.examples import zoo
    from edgett.train.data import load_data
    from edgett.train.finetune import make_deterministic
    from edgett.workflow.survey import graphs

    make_deterministic()
    model = zoo.untrained(zoo.example("resnet8"), 0)
    loaded = load_data(data, model, 0)
    part = type(loaded)(*(split.take(slice(images)) for split in (loaded.train, loaded.validation, loaded.test)))
    candidates = [_candidate(model, form) for form in FORMS.values()]
    chosen = dict(zip(FORMS, solutions(candidates, graphs(model)), strict=True))
    dense = _macs(model)
    for name, solution in chosen.items():
        print(f"{name}: {(solution.cost.macs or 0) / dense:.2f} of the MACs, {solution.cost.params:,} parameters")
    tuner = {recover: _tuner(model, part, recover, chosen.values()) for recover in Recover}
    trainings = {name: _begun(tuner[Recover.PLAIN], solution) for name, solution in chosen.items()}
    ways: dict[str, Call] = {"dense, fit": _fit(model, part), "CP, fit": _fit(trainings["CP"].model, part)}
    ways["CP, edgett, statistics frozen"] = _epoch(_begun(tuner[Recover.PLAIN], chosen["CP"], frozen=True))
    ways["CP, edgett, batch norm as Keras has it"] = _epoch(_apart(_begun(tuner[Recover.PLAIN], chosen["CP"])))
    ways |= {f"{name}, edgett": _epoch(training) for name, training in trainings.items()}
    ways["CP, edgett, distilling"] = _epoch(_begun(tuner[Recover.DISTILL], chosen["CP"]))
    print(f"\n{f'an epoch of {len(part.train):,} images':40}{'wall':>9}{'CPU':>9}{'ratio':>7}")
    _print(times := _timed(ways, turns), times["dense, fit"])
    _begin_and_judge(tuner[Recover.PLAIN], chosen["CP"])
    print(f"\n{'a batch of CP, edgett':40}{'wall':>9}{'CPU':>9}{'share':>7}")
    found = _timed(_parts(trainings["CP"]), turns)
    _print(found | {"backward": found["forward and backward"] - found["forward"]}, found["the whole step"])
    print("ratios and shares are of CPU time, on one thread, which is how a worker of edgett trains")


def _macs(model: Any) -> int:
    from edgett.workflow.survey import graphs

    return int(graphs(model)(frozenset()).macs)


def _candidate(model: Any, form: type[Chain]) -> Candidate:
    """Every convolution that the form takes apart, at the largest rank that leaves it its share of the MACs."""
    from edgett.model.worth import Wish, replaceable

    edits = {}
    for found in replaceable(model, Wish(0)):
        layer = found.layer
        if layer.window is None or layer.channels < CHANNELS or form.unfit(layer) is not None:
            continue
        most = SHARE * (cost.dense(layer).macs or 0)
        fits = [spec for spec in form.every(layer, 4) if (cost.held(layer, spec).macs or 0) <= most]
        edits[layer.name] = max(fits, key=lambda spec: (spec.params, spec.ranks))
    return Candidate(edits)


def _tuner(model: Any, data: Data, recover: Recover, every: Any) -> Tuner:
    """What trains; layers start from noise: how long a step takes does not depend on it."""
    from edgett.train.finetune import Recipe, Tuner
    from edgett.train.quality import judge

    random = np.random.default_rng(0)
    starts = {
        (path, spec): Start(tuple(0.1 * random.normal(size=factor).astype(np.float32) for factor in spec.factors))
        for solution in every
        for path, spec in solution.edits.items()
    }
    recipe = Recipe(epochs=1, batch_size=BATCH, recover=recover)
    return Tuner(model, data.train, data.validation, judge(model, data.train.y), recipe, starts)


def _begun(tuner: Tuner, solution: Solution, *, frozen: bool = False) -> Training:
    """A training as a worker begins it, or with the statistics of batch normalisation left as they are."""
    import keras

    from edgett.model.layers import compilation
    from edgett.train.finetune import Task
    from edgett.train.training import Training

    training = tuner._training(Task(solution, 1))
    if not frozen:
        return training
    model = training.model
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    fresh = model.optimizer.from_config(model.optimizer.get_config())
    model.compile(**compilation(model) | {"optimizer": fresh, "jit_compile": False})
    return Training(model, training.samples, training.seed, training.teacher)


def _apart(training: Training) -> Training:
    """The same with batch normalisation computed step by step."""
    for layer in training.model.layers:
        vars(layer).pop("call", None)  # see `train.normalisation`
    return training


def _epoch(training: Training) -> Call:
    rates = np.full(-(-len(training.samples) // BATCH), 1e-4, np.float32)
    return lambda: training.epoch(0, BATCH, rates, lambda _: None)


def _fit(model: Any, data: Data) -> Call:
    """What everybody writes."""
    import keras

    from edgett.model.ports import feed, wanted

    copy = keras.models.clone_model(model)
    copy.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", jit_compile=False)
    x, y = feed(copy, data.train.x), wanted(copy, data.train.y)
    return lambda: copy.fit(x, y, batch_size=BATCH, verbose=0)


def _parts(training: Training) -> dict[str, Call]:
    """What a step is made of, each in a graph of its own: the whole step less these is the optimiser's."""
    import tensorflow as tf

    from edgett.train.training import NO_RATES

    model, rows = training.model, np.arange(min(BATCH, len(training.samples)))
    x, y, soft = training._rows(rows)
    whole = tf.function(training._loop, autograph=False)

    def loss() -> Any:
        return model.compute_loss(x=x, y=y, y_pred=model(x, training=True), training=True)

    @tf.function(autograph=False)
    def both() -> Any:
        with tf.GradientTape() as tape:
            value = loss()
        return tape.gradient(value, model.trainable_weights)

    return {
        "samples picked": lambda: training._rows(rows),
        "forward": tf.function(loss, autograph=False),
        "forward and backward": both,
        "the whole step": lambda: whole(x, y, soft, NO_RATES, BATCH),
    }


def _begin_and_judge(tuner: Tuner, solution: Solution) -> None:
    """What a candidate costs beside its batches, in these, as the forecast measures them."""
    from edgett.train.finetune import Task

    pace = tuner.run(Task(solution, 0), lambda _: None).pace
    assert pace is not None
    begin, judge = pace.begin / pace.batch, pace.judge / pace.batch
    print(f"CP: to begin takes {begin:.0f} batches, to judge {len(tuner.validation):,} images {judge:.1f}")


def _timed(ways: Mapping[str, Call], turns: int) -> dict[str, Clocks]:
    """Wall and CPU seconds of each way, the median of its turns; the first call, which traces, is not one."""
    for call in ways.values():
        call()
    seconds: dict[str, list[Clocks]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, call in ways.items():
            start = _clocks()
            call()
            seconds[name].append(_clocks() - start)
    return {
        name: np.array([statistics.median(clock) for clock in zip(*each, strict=True)])
        for name, each in seconds.items()
    }


def _clocks() -> Clocks:
    return np.array([time.perf_counter(), time.process_time()])


def _print(times: Mapping[str, Clocks], unit: Clocks) -> None:
    for name, (wall, processor) in times.items():
        print(f"{name:40}{wall:8.2f}s{processor:8.2f}s{processor / unit[1]:7.2f}", flush=True)
