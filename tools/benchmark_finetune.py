"""The benchmark of fine-tuning: `python tools/benchmark.py finetune`."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from benchmark_epoch import ways_through_an_epoch

from edgett.job.choices import Recover, Schedule
from edgett.job.job import Job
from edgett.meter import Silent
from edgett.run.directory import Run
from edgett.search import choose
from edgett.search import explore as space
from edgett.search.choices import Strategy
from edgett.search.solution import Solution, Trial
from edgett.target.profile import constraints, load_target, override
from edgett.workflow import inputs
from edgett.workflow.survey import graphs, over_grid
from edgett.workflow.terms import baseline
from edgett.workflow.tuning import FineTuning, fine_tuned

ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


class Network(enum.Enum):
    """What is fine-tuned."""

    LENET300 = "lenet300"
    RESNET8 = "resnet8"


def finetune(
    data: Annotated[str, typer.Option(help="mnist.npz, for resnet8 cifar10.npz")],
    model: Annotated[
        Network, typer.Option(help="Candidates of lenet300 one after the other, or the parts of an epoch of resnet8.")
    ] = Network.LENET300,
    limit: Annotated[int, typer.Option(help="Candidates.")] = 24,
    epochs: Annotated[int, typer.Option(help="Epochs.")] = 3,
    check: Annotated[int, typer.Option(help="Candidates whose results are compared digit by digit.")] = 3,
    images: Annotated[int, typer.Option(help="Of an epoch of resnet8.")] = 2560,
    turns: Annotated[int, typer.Option(help="Epochs of resnet8 each way, in turn; their median counts.")] = 3,
    plain_threads: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """LeNet300's candidates, fine-tuned by edgett and by a plain loop: build, `fit`, `evaluate`, one after the other.

    The plain loop has all processors. Its sums come in another order than those of one thread: so the results are
    compared with those of the same loop on one thread.

    With `--model resnet8`, untrained: an epoch of the dense network in `fit`, and of compressed ones in `fit` and in
    edgett's loop, on one thread; and where a step goes.
    """
    if model is Network.RESNET8:
        os.environ |= ONE_THREAD
        ways_through_an_epoch(data, images, turns)
        return
    job = Job(
        "host", "example:lenet300", data, search=Strategy.GRID, limit=limit, epochs=epochs, max_drop=1.5,
        recover=Recover.PLAIN,
    )  # fmt: skip
    asked, chosen = _bench(job)
    if plain_threads:
        _plain(asked, chosen[:check])
        return
    seconds = {"plain loop": _timed(lambda: _plain(asked, chosen))}
    trials: dict[Schedule, tuple[Trial, ...]] = {}
    for schedule in Schedule:
        with tempfile.TemporaryDirectory() as folder:
            run = Run.start(Path(folder) / "run", {})
            begun = replace(asked, job=replace(job, schedule=schedule))
            seconds[schedule.value] = _timed(
                lambda begun=begun, run=run, schedule=schedule: trials.update(
                    {schedule: fine_tuned(chosen, begun, run, Silent())}
                )
            )
            run.close()
    print(f"{'':12}{'wall':>8}{'ratio':>7}")
    for name, wall in seconds.items():
        print(f"{name:12}{wall:7.1f}s{seconds['plain loop'] / wall:7.2f}")
    picks = {schedule: choose.choose(trials[schedule], asked.limits) for schedule in Schedule}
    for name in ("highest_accuracy", "lowest_memory", "lowest_flops"):
        full, halving = (getattr(picks[schedule], name) for schedule in Schedule)
        print(
            f"{name}: solution {full.solution.number}, drop {full.drop:.2f}; by halving solution"
            f" {halving.solution.number}, drop {halving.drop:.2f}"
        )
    count = len(asked.inputs.data.validation)
    print(f"validation images that the plain loop on one thread gets right, and edgett does, of {count}:")
    answer = subprocess.run(
        [sys.executable, __file__, "--data", data, "--limit", str(limit), "--epochs", str(epochs),
         "--check", str(check), "--plain-threads", "1"],
        env=os.environ | ONE_THREAD, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for line, trial in zip(answer.stdout.splitlines(), trials[Schedule.FULL], strict=False):
        print(f"{line}  {round(trial.quality.scores[0].value * count)}")


def _bench(job: Job) -> tuple[FineTuning, tuple[Solution, ...]]:
    from edgett.forms.site import CostModel
    from edgett.model.worth import Wish, replaceable
    from edgett.search.explore import Grid
    from edgett.train import finetune

    finetune.make_deterministic()
    loaded = inputs.load(job, Silent())
    graph = graphs(loaded.model)
    dense = space.dense_solution(graph(frozenset()))
    target = override(load_target(job.target), **job.budget)
    limits = constraints(target, baseline(dense))
    grid = Grid(job.max_ranks, job.grid, job.empty_tiles, CostModel.EXACT)
    explored = over_grid(replaceable(loaded.model, Wish(job.least_share)), grid, Silent())
    candidates = space.solutions(explored.candidates, graph)
    return FineTuning(job, loaded, graph(frozenset()), limits, len(candidates)), space.spread_out(candidates, job.limit)


def _plain(asked: FineTuning, chosen: Sequence[Solution]) -> None:
    """What everybody writes, with the same seeds, order of samples and learning rates."""
    import keras

    from edgett.model.layers import compilation
    from edgett.model.ports import feed, wanted
    from edgett.train.finetune import batches, compressed
    from edgett.train.rates import starting_rate

    data, job = asked.inputs.data, asked.job
    every = batches(len(data.train), job.batch_size)
    for solution in chosen:
        keras.utils.set_random_seed(job.seed)
        model = compressed(asked.inputs.model, solution, asked.inputs.judge)
        rate = starting_rate(model.optimizer)
        falling = _falling(float(rate or 0.0), every * job.epochs)
        model.compile(**compilation(model) | {"optimizer": keras.optimizers.Adam(falling), "jit_compile": False})
        for epoch in range(job.epochs):
            part = data.train.take(np.random.default_rng([job.seed, epoch]).permutation(len(data.train)))
            x, y = feed(model, part.x), wanted(model, part.y)
            model.fit(x, y, batch_size=job.batch_size, shuffle=False, verbose=0)
        held = data.validation
        results = model.evaluate(feed(model, held.x), wanted(model, held.y), verbose=0, return_dict=True)
        accuracy = next(value for name, value in results.items() if name.endswith("accuracy"))
        print(f"solution {solution.number}: {round(accuracy * len(held))}", flush=True)


def _falling(rate: float, steps: int) -> Any:
    """Down to zero in a line, in the digits of edgett's own."""
    import keras

    class Falling(keras.optimizers.schedules.LearningRateSchedule):
        def __init__(self) -> None:
            done = np.arange(steps)
            self.rates = np.float32(rate) * (1 - done / steps).astype(np.float32)

        def __call__(self, step: Any) -> Any:
            return keras.ops.take(keras.ops.convert_to_tensor(self.rates), keras.ops.cast(step, "int32"))

        def get_config(self) -> dict[str, Any]:
            return {}

    return Falling()


def _timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    typer.run(finetune)
