"""Timings, each as a ratio to a named alternative in the same run: `python tools/benchmark.py space | training`."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from edgett.space.tiles import layer_space
from edgett.values import CostModel, Layer, TTShape

sys.path.insert(0, str(Path(__file__).parent.parent))  # for the alternative, which lives in the tests

app = typer.Typer(help=__doc__, no_args_is_help=True)

SMALL = (Layer("4096x4096", 4096, 4096), Layer("4096x1000", 4096, 1000))
LARGE = (Layer("9216x4096", 9216, 4096), Layer("25088x4096", 25088, 4096))
RANKS = tuple(range(2, 13))
GRID = 8


@app.command()
def space(
    large: Annotated[
        bool, typer.Option("--large", help="Also the 245 million solutions, without the alternative.")
    ] = False,
) -> None:
    """Steps 2 to 5, corner points and shapes included, against a plain NumPy enumeration; each in its own process."""
    print(f"{'layers':24} {'cost':6} {'ours':>8} {'plain':>8} {'ratio':>6} {'ours MB':>8} {'plain MB':>8}")
    for model in CostModel:
        seconds, memory = _apart(_ours, SMALL, model)
        plain_seconds, plain_memory = _apart(_plain, SMALL, model)
        ratio = plain_seconds / seconds
        print(
            f"{'4096x4096 + 4096x1000':24} {model.value:6} {seconds:7.2f}s {plain_seconds:7.2f}s {ratio:6.1f}"
            f" {memory:8.0f} {plain_memory:8.0f}"
        )
        if large:
            seconds, memory = _apart(_ours, LARGE, model)
            print(f"{'9216x4096 + 25088x4096':24} {model.value:6} {seconds:7.2f}s {'':8} {'':6} {memory:8.0f}")


@app.command()
def training(
    batch: Annotated[int, typer.Option(help="Samples a step.")] = 128,
    repeats: Annotated[int, typer.Option(help="Timed steps of each way, in turn.")] = 30,
) -> None:
    """A training step of a TT layer: contracting, rebuilding the dense weight, the way that edgett takes; dense = 1."""
    from edgett.space.cost import rebuild_from

    print(f"{'shape':40} {'contract':>9} {'rebuild':>9} {'edgett takes':>13}   (dense step = 1, batch {batch})")
    for shape in _SHAPES:
        steps = _training_steps(shape, batch)
        times: dict[str, list[float]] = {name: [] for name in steps}
        for step in steps.values():
            step()
        for _ in range(repeats):
            for name, step in steps.items():
                start = time.perf_counter()
                step()
                times[name].append(time.perf_counter() - start)
        dense = statistics.median(times["dense"])
        contract, rebuild = (statistics.median(times[name]) / dense for name in ("contract", "rebuild"))
        taken = "rebuild" if batch >= rebuild_from(shape) else "contract"
        print(f"{shape!s:40} {contract:9.2f} {rebuild:9.2f} {taken:>13}")


_SHAPES = (
    TTShape((28, 28), (15, 20), (1, 8, 1)),
    TTShape((4, 4, 7, 7), (10, 5, 3, 2), (1, 8, 8, 6, 1)),
    TTShape((2, 2268), (25, 4), (1, 11, 1)),
    TTShape((648, 7), (50, 2), (1, 6, 1)),
    TTShape((12, 18, 21), (10, 5, 2), (1, 8, 8, 1)),
    TTShape((72, 7, 3, 3), (2, 5, 2, 5), (1, 3, 3, 3, 1)),
    TTShape((64, 64), (64, 64), (1, 8, 1)),
)


def _training_steps(shape: TTShape, batch: int) -> dict[str, Callable[[], object]]:
    from edgett.nn.tt_dense import TTDense  # isort: skip  # silences TensorFlow before it is imported
    import tensorflow as tf

    inputs, outputs = shape.matrix
    layer = TTDense(shape.inputs, shape.outputs, shape.ranks)
    layer.build((None, inputs))
    weight = tf.Variable(tf.random.normal((inputs, outputs)))
    cores = [core.value for core in layer.cores]
    x, y = tf.random.normal((batch, inputs)), tf.random.normal((batch, outputs))

    def step(product: Callable[[], object], variables: list[object]) -> Callable[[], object]:
        @tf.function
        def run() -> object:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((product() - y) ** 2)
            return tape.gradient(loss, variables)

        return run

    return {
        "contract": step(lambda: layer.contract(x), cores),
        "rebuild": step(lambda: tf.matmul(x, layer.kernel()), cores),
        "dense": step(lambda: tf.matmul(x, weight), [weight]),
    }


def _apart(work: Callable[..., None], *arguments: object) -> tuple[float, float]:
    """Seconds and peak MB of `work` in a process of its own, imports left out of the seconds."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=_measured, args=(queue, work, arguments))
    process.start()
    result: tuple[float, float] = queue.get()
    process.join()
    return result


def _measured(queue: object, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    start = time.perf_counter()
    work(*arguments)
    seconds = time.perf_counter() - start
    queue.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))  # type: ignore[attr-defined]


def _ours(layers: tuple[Layer, ...], model: CostModel) -> None:
    for layer in layers:
        layer_space(layer, RANKS, model, GRID)


def _plain(layers: tuple[Layer, ...], model: CostModel) -> None:
    from tests.space.enumeration import plain_space

    for layer in layers:
        plain_space(layer, RANKS, model, GRID)


if __name__ == "__main__":
    app()
