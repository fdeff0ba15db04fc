"""Timings, each beside an alternative in the same run: `python tools/benchmark.py space`, and other commands."""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import benchmark_c
import benchmark_convolutions
import benchmark_layers
import numpy as np
import typer
from benchmark_finetune import finetune
from benchmark_hold import hold
from benchmark_join import join
from benchmark_latency import latency
from benchmark_train import train
from benchmark_verilog import verilog
from benchmark_versions import versions
from numpy.typing import NDArray

from edgett.forms.site import CostModel, Layer
from edgett.forms.tt.shape import TTShape
from edgett.forms.tt.shapes import count_solutions
from edgett.search.tiles import layer_space

sys.path.insert(0, str(Path(__file__).parent.parent))  # for the alternative, which lives in the tests

app = typer.Typer(help=__doc__, no_args_is_help=True)
for command in (finetune, hold, join, latency, train, verilog, versions):
    app.command()(command)
for command in (benchmark_convolutions.convolutions, benchmark_layers.layers):
    app.command()(command)
app.command("c")(benchmark_c.chips)

Floats = NDArray[np.floating]

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
    print(
        f"{'layers':24} {'cost':6} {'ours':>8} {'first progress':>15} {'solutions/s':>12} {'MB':>5}"
        f" {'plain':>8} {'MB':>5} {'ratio':>6}"
    )
    for model in CostModel:
        for layers in (SMALL, LARGE)[: 1 + large]:
            seconds, memory, progress = _apart(_ours, layers, model)
            rate = sum(count_solutions(layer, RANKS) for layer in layers) / seconds / 1e6
            line = (
                f"{' + '.join(layer.name for layer in layers):24} {model.value:6} {seconds:7.2f}s {progress:14.2f}s"
                f" {rate:10.1f} M {memory:5.0f}"
            )
            if layers is SMALL:
                plain_seconds, plain_memory, _ = _apart(_plain, layers, model)
                line += f" {plain_seconds:7.2f}s {plain_memory:5.0f} {plain_seconds / seconds:6.1f}"
            print(line, flush=True)


@app.command()
def training(
    batch: Annotated[int, typer.Option(help="Samples a step.")] = 128,
    repeats: Annotated[int, typer.Option(help="Timed steps of each way, in turn.")] = 30,
) -> None:
    """A training step of a TT layer: contracting, rebuilding the dense weight, the way that edgett takes; dense = 1."""
    from edgett.forms.tt.cost import rebuild_from

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
    from edgett.model.tt_dense import TTDense  # isort: skip  # silences TensorFlow before it is imported
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


@app.command()
def error(
    shapes: Annotated[int, typer.Option(help="Shapes of each weight whose real error is computed.")] = 60,
) -> None:
    """The spectra of a weight: their time, their worst cut, and how they rank the errors that TT-SVD really makes.

    The trained weight is LeNet300's first, from mnist.npz in the folder that EDGETT_TEST_DATA names.
    """
    from scipy.stats import spearmanr

    print(f"{'4096x4096, rank 64':20} {'wall':>8} {'CPU':>8} {'products':>9} {'worst cut':>10}")
    for name, weight in _weights(4096, 4096).items():
        wall, processor, product, worst = _spectra_measured(weight)
        print(f"{name:20} {wall:7.1f}s {processor:7.1f}s {wall / product:9.1f} {worst:9.3%}")
    print("products: the time in float32 products of 4096x4096 by itself; worst cut: its error, at 5 of 169 unfoldings")
    print()
    names = ("low", "estimate", "high", "largest cut")
    columns = "".join(f"{name:>13}" for name in names)
    print(f"{f'784x300, Spearman of {shapes}':26}{columns}{'inside':>9}{'estimate/error':>16}")
    for name, weight in {**_weights(784, 300), **_lenet300_weight()}.items():
        real, guesses = _guesses(weight, shapes)
        ranked = "".join(f"{spearmanr(guesses[:, k], real).statistic:13.3f}" for k in range(len(names)))
        inside = int(((guesses[:, 0] <= real + 2e-6) & (real <= guesses[:, 2] + 2e-6)).sum())
        print(f"{name:26}{ranked}{inside:6}/{shapes}{np.median(guesses[:, 1] / real):16.3f}")


@app.command()
def pareto() -> None:
    """The Pareto set of whole spaces, ranks 4 to 64 in steps of 4, and of a small one against listing it."""
    from edgett.forms.front import Search
    from edgett.forms.tt import pareto as ours
    from edgett.forms.tt.error import Spectra, spectra
    from edgett.search.together import together
    from tests.forms.tt import test_pareto

    print(f"{'layer':12} {'spectra':>9} {'search':>9} {'CPU':>7} {'solutions':>12} {'undominated':>12}")
    fronts = []

    def timed(layer: Layer, search: Search, known: Spectra) -> float:
        start, processor = time.perf_counter(), time.process_time()
        fronts.append(ours.front(layer, known, search))
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
        print(f"{seconds:8.2f}s {processor:6.2f}s {fronts[-1].solutions:12.3g} {len(fronts[-1]):12,}")
        return seconds

    for layer in SMALL:
        random = np.random.default_rng(0)
        left, right = (np.linalg.qr(random.normal(size=(size, 100)))[0] for size in (layer.inputs, layer.outputs))
        weight = left / np.arange(1, 101) @ right.T
        weight += 0.3 * np.linalg.norm(weight) / 4096 * random.normal(size=weight.shape)
        start = time.perf_counter()
        known = spectra(weight.astype(np.float32), 64)
        print(f"{layer.name:12} {time.perf_counter() - start:8.2f}s", end=" ", flush=True)
        timed(layer, Search(), known)
    start = time.perf_counter()
    joint = together(fronts, [1, 1])
    print(f"{'both':12} {time.perf_counter() - start:18.2f}s {len(joint):33,}")
    small, search = Layer("64x64", 64, 64), Search(4, 16)
    known = test_pareto.spectra(small, 16)
    print(f"{small.name:12} {'':9}", end=" ")
    seconds, start = timed(small, search, known), time.perf_counter()
    test_pareto.plain(small, known, search)
    plain = time.perf_counter() - start
    print(f"{'listed':12} {plain:18.2f}s   {plain / seconds:.0f} times as long")


@app.command()
def decompose(
    rank: Annotated[int, typer.Option(help="Of every bond.")] = 8,
    repeats: Annotated[int, typer.Option(help="Runs of ours; the fastest counts.")] = 3,
) -> None:
    """TT-SVD of Gaussian weights against `t3f.to_tt_matrix`, wall and CPU time: one shape; many of a layer at once."""
    from edgett.forms.tt.decompose import tt_svd  # isort: skip  # silences TensorFlow before it is imported
    import t3f

    from edgett.forms.tt.decompose import relative_error
    from edgett.forms.tt.shape import tt_shape

    weight = _weights(4096, 4096)["Gaussian"]
    print(
        f"{'rank ' + str(rank):16} {'wall':>8} {'T3F':>8} {'ratio':>6} {'CPU':>8} {'T3F':>8} {'ratio':>6} {'error':>8}"
    )
    for factors in ((64, 64), (16,) * 3, (4,) * 6):
        shape = tt_shape(factors, factors, rank)
        best = np.min([_took(lambda shape=shape: tt_svd(weight, shape)) for _ in range(repeats)], axis=0)
        start = _clocks()
        train = t3f.to_tt_matrix(weight, [factors, factors], max_tt_rank=rank)
        other = _clocks() - start
        theirs = relative_error(weight, tuple(np.asarray(core) for core in train.tt_cores))
        times = "".join(f" {a:7.2f}s {b:7.2f}s {b / a:6.1f}" for a, b in zip(best, other, strict=True))
        error = relative_error(weight, tt_svd(weight, shape)) / theirs
        print(f"{f'[{factors[0]}]^{len(factors)}':16}{times} {error:8.5f}", flush=True)
    print("error: ours over T3F's")
    print()
    print(f"{'many at once':34}{'clock':5} {'together':>9} {'one by one':>11} {'ratio':>6} {'T3F*':>9} {'ratio':>6}")
    _many_at_once("candidates of 784x300", _candidates(Layer("", 784, 300), 200), 10, repeats)
    _many_at_once("candidates of 4096x4096", _candidates(Layer("", 4096, 4096), 24), 4, repeats)
    _many_at_once("ranks, 2 to 12, of [16]^3", [tt_shape((16,) * 3, (16,) * 3, r) for r in RANKS], 2, repeats)
    print("T3F*: extrapolated from 10 of the first, 4 of the second and 2 of the third; candidates: ranks 2:12, grid 8")


def _candidates(layer: Layer, count: int) -> list[TTShape]:
    """What step 5 leaves of a layer, or so many of it, evenly spread."""
    corners = layer_space(layer, RANKS, CostModel.EXACT, GRID).corners.values()
    return _spread(list(dict.fromkeys(corner.shape for tile in corners for corner in tile)), count)


def _spread(shapes: list[TTShape], count: int) -> list[TTShape]:
    return [shapes[k] for k in np.unique(np.linspace(0, len(shapes) - 1, count).astype(int))]


def _many_at_once(name: str, shapes: list[TTShape], few: int, repeats: int) -> None:
    """A line for each clock: the shapes together, one by one, and by T3F, of which `few` are timed."""
    import t3f

    from edgett.forms.tt.decompose import tt_svd, tt_svds

    weight = _weights(*shapes[0].matrix)["Gaussian"]

    def theirs() -> None:
        for shape in _spread(shapes, few):
            t3f.to_tt_matrix(weight, [shape.inputs, shape.outputs], max_tt_rank=max(shape.ranks))

    together = np.min([_took(lambda: sum(1 for _ in tt_svds(weight, shapes))) for _ in range(repeats)], axis=0)
    single = np.min([_took(lambda: [tt_svd(weight, shape) for shape in shapes]) for _ in range(repeats)], axis=0)
    other = _took(theirs) * len(shapes) / few
    for clock, a, b, c in zip(("wall", "CPU"), together, single, other, strict=True):
        times = f"{a:8.2f}s {b:10.2f}s {b / a:6.1f} {c:8.1f}s {c / a:6.1f}"
        print(f"{f'{len(shapes)} {name}':34}{clock:5} {times}", flush=True)


def _clocks() -> Floats:
    """Wall and CPU seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def _took(work: Callable[[], object]) -> Floats:
    """How far the clocks move."""
    start = _clocks()
    work()
    return _clocks() - start


def _weights(inputs: int, outputs: int) -> dict[str, Floats]:
    """A flat spectrum; one that falls as 1/j, under noise; a train of rank 8 in four cores, under a little noise."""
    from edgett.forms.tt.decompose import rebuild
    from edgett.forms.tt.shape import tt_shape

    random = np.random.default_rng(0)
    noise = random.normal(size=(inputs, outputs))
    left, right = (np.linalg.qr(random.normal(size=(size, 100)))[0] for size in (inputs, outputs))
    falling = left / np.arange(1, 101) @ right.T
    factors = {4096: (8, 8, 8, 8), 784: (4, 7, 4, 7), 300: (5, 5, 4, 3)}
    cores = tt_shape(factors[inputs], factors[outputs], 8).cores
    train = rebuild(tuple(random.normal(size=core).astype(np.float32) for core in cores))
    noise, falling, train = (matrix / np.linalg.norm(matrix) for matrix in (noise, falling, train))
    made = {"Gaussian": noise, "falling as 1/j": falling + 0.3 * noise, "train of rank 8": train + 0.02 * noise}
    return {name: matrix.astype(np.float32) for name, matrix in made.items()}


def _spectra_measured(weight: Floats) -> tuple[float, float, float, float]:
    """Seconds, CPU seconds, seconds of one product of the weight with itself, worst relative error of a cut."""
    from edgett.forms.tt.error import spectra

    start, processor = time.perf_counter(), time.process_time()
    found = spectra(weight, 64)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    start = time.perf_counter()
    weight @ weight
    product = time.perf_counter() - start
    worst = 0.0
    for p, q in ((64, 32), (2048, 1), (128, 64), (32, 32), (8, 16)):
        rows = weight.astype(np.float64).reshape(p, 4096 // p, q, 4096 // q).transpose(0, 2, 1, 3).reshape(p * q, -1)
        energy = np.linalg.eigvalsh(rows @ rows.T if p * q <= 4096 else rows.T @ rows)[::-1]
        true = np.cumsum(energy[::-1])[::-1][:65] / energy.sum()
        cuts = found.cuts[found.inputs.index(p), found.outputs.index(q)]
        above = true > 100 * found.rounding
        worst = max(worst, float(np.abs(cuts / true - 1)[above].max()))
    return seconds, processor, product, worst


def _lenet300_weight() -> dict[str, Floats]:
    """The first weight of LeNet300 after three epochs of MNIST; nothing, and a line why, without the data."""
    folder = os.environ.get("EDGETT_TEST_DATA")
    if not folder or not (Path(folder) / "mnist.npz").exists():
        print("LeNet300's weight is left out: EDGETT_TEST_DATA names no folder with mnist.npz")
        return {}
    from edgett.examples import zoo  # isort: skip  # silences TensorFlow before it is imported
    import keras

    keras.utils.set_random_seed(0)
    model = zoo.lenet300()
    with np.load(Path(folder) / "mnist.npz") as data:
        model.fit(data["x_train"], data["y_train"], batch_size=128, epochs=3, verbose=0)
    return {"LeNet300 on MNIST": model.get_layer("fc1").get_weights()[0]}


def _guesses(weight: Floats, count: int) -> tuple[Floats, Floats]:
    """The error of TT-SVD for `count` random shapes, and for each: low, estimate, high, largest cut of a bond."""
    from edgett.forms.tt.decompose import relative_error, tt_svd
    from edgett.forms.tt.error import spectra
    from edgett.forms.tt.shape import tt_shape
    from edgett.forms.tt.shapes import count_orders, nth_solution

    layer = Layer("", *weight.shape)
    found = spectra(weight, 64)
    random = np.random.default_rng(0)
    real, guesses = [], []
    while len(real) < count:
        solution = nth_solution(layer, int(random.integers(count_orders(layer.inputs) * count_orders(layer.outputs))))
        if len(solution[0]) != len(solution[1]) or len(solution[0]) < 2:
            continue
        shape = tt_shape(*solution, int(random.choice([2, 4, 8, 12, 16, 32, 64])))
        bracket = found.bracket(shape)
        largest = max(found.bracket(bond).estimate for bond in _bonds(shape))
        guesses.append((bracket.low, bracket.estimate, bracket.high, largest))
        real.append(relative_error(weight, tt_svd(weight, shape)))
    return np.array(real), np.array(guesses)


def _bonds(shape: TTShape) -> list[TTShape]:
    """Each bond of a shape as a shape of two cores."""

    def halves(factors: tuple[int, ...], k: int) -> tuple[int, int]:
        return math.prod(factors[:k]), math.prod(factors[k:])

    return [
        TTShape(halves(shape.inputs, k), halves(shape.outputs, k), (1, shape.ranks[k], 1))
        for k in range(1, shape.length)
    ]


def _apart(work: Callable[..., float], *arguments: object) -> tuple[float, float, float]:
    """Seconds and peak MB of `work` in a process of its own, imports left out of the seconds, and what it returns."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=_measured, args=(queue, work, arguments))
    process.start()
    result: tuple[float, float, float] = queue.get()
    process.join()
    return result


def _measured(queue: object, work: Callable[..., float], arguments: tuple[object, ...]) -> None:
    start = time.perf_counter()
    returned = work(*arguments)
    seconds = time.perf_counter() - start
    queue.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, returned))  # type: ignore[attr-defined]


def _ours(layers: tuple[Layer, ...], model: CostModel) -> float:
    """Returns the seconds until progress was first heard of."""
    start, heard = time.perf_counter(), list[float]()
    for layer in layers:
        layer_space(layer, RANKS, model, GRID, lambda units: heard.append(time.perf_counter() - start))
    return heard[0]


def _plain(layers: tuple[Layer, ...], model: CostModel) -> float:
    from tests.search.enumeration import plain_space

    for layer in layers:
        plain_space(layer, RANKS, model, GRID)
    return math.nan


if __name__ == "__main__":
    app()
