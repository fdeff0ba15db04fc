"""The benchmark of exported layers: `python tools/benchmark.py layers`."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from edgett.forms.operators import Product
from edgett.forms.tt.contraction import plan
from edgett.forms.tt.cost import exact_flops, merged
from edgett.forms.tt.shape import TTShape, tt_shape
from edgett.system.quiet import quiet
from edgett.workflow import files

Call = Callable[[], object]
Matrices = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Case:
    """A TT layer, what its time over that of its bare products shall be at most, and dense over it at least."""

    name: str
    shape: TTShape
    over_products: float
    under_dense: float | None = None


CASES = (
    Case("[8,512]x[512,8]", TTShape((8, 512), (512, 8), (1, 8, 1)), 1.10, 150),
    Case("[64,64]^2", tt_shape((64, 64), (64, 64), 8), 1.20, 35),
    Case("784x300", TTShape((28, 28), (15, 20), (1, 8, 1)), 1.30),
    Case("[16]^3", tt_shape((16,) * 3, (16,) * 3, 8), 1.40, 25),
    Case("[4]^6", tt_shape((4,) * 6, (4,) * 6, 8), 1.50, 18),
)
IREE = {"IREE": ["--iree-llvmcpu-target-cpu=host"], "IREE generic": []}


def layers(
    rounds: Annotated[int, typer.Option(help="Turns of each way; its median counts.")] = 40,
    turn: Annotated[float, typer.Option(help="Milliseconds that a way has each turn.")] = 4,
) -> None:
    """TT layers as edgett exports them, one sample, one thread, against dense, their bare products and other graphs.

    All but IREE run on LiteRT with its default delegate, the ways of a layer in turn. `products` are the products
    alone, each on an input of its own; `plain` reshapes, multiplies and transposes a core at a time; `T3F` is the graph
    of `t3f.matmul`. `merged` has adjacent cores multiplied together where that saves FLOPs, whatever it costs in
    parameters. IREE runs edgett's ONNX, compiled for this processor or, `generic`, as it does when not told which. What
    edgett exports is checked against its prediction, and every way against the product with the dense weight.
    """
    times = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            times[case] = measured(_ways(case, Path(folder)), rounds, turn / 1000)
        print(f"{case.name:16} " + "  ".join(f"{name} {micro:.1f}" for name, micro in times[case].items()), flush=True)
        best = merged(case.shape, growing=True)
        if best != case.shape:
            figures = [f"{one}: {one.params:,} parameters, {exact_flops(one):,} FLOPs" for one in (case.shape, best)]
            print(f"{'':16} merged: {figures[0]} -> {figures[1]}")
    print("(microseconds)\n")
    _print_ratios(times)


def measured(ways: Mapping[str, Call], rounds: int, turn: float) -> dict[str, float]:
    """Microseconds a call of each way, the median of its turns; the first call of a turn warms the caches."""
    counts = {}
    for name, call in ways.items():
        call()
        start = time.perf_counter()
        call()
        counts[name] = max(3, int(turn / (time.perf_counter() - start)))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, call in ways.items():
            call()
            start = time.perf_counter()
            for _ in range(counts[name]):
                call()
            seconds[name].append((time.perf_counter() - start) / counts[name])
    return {name: 1e6 * statistics.median(taken) for name, taken in seconds.items()}


def _print_ratios(times: Mapping[Case, Mapping[str, float]]) -> None:
    others = [name for name in next(iter(times.values())) if name not in ("edgett", "products", "dense", "merged")]
    print(f"{'':16} {'over products':>14} {'goal':>5} {'merged':>7} {'dense over':>11} {'goal':>5}", end="")
    print("".join(f"{name + ' over':>19}" for name in others))
    for case, taken in times.items():
        ours, bare = taken["edgett"], taken["products"]
        best = f"{taken['merged'] / bare:7.2f}" if "merged" in taken else " " * 7
        goal = f"{case.under_dense:5.0f}" if case.under_dense else " " * 5
        print(f"{case.name:16} {ours / bare:14.2f} {case.over_products:5.2f} {best}", end=" ")
        print(f"{taken['dense'] / ours:11.1f} {goal}" + "".join(f"{taken[name] / ours:19.2f}" for name in others))
    print(f"{'geometric mean':16} {_mean(times, 'edgett', 'products'):14.2f} {'':13} ", end="")
    print(
        f"{_mean(times, 'dense', 'edgett'):11.1f} {'':5}"
        + "".join(f"{_mean(times, name, 'edgett'):19.2f}" for name in others)
    )


def _mean(times: Mapping[Case, Mapping[str, float]], over: str, under: str) -> float:
    return math.exp(statistics.fmean(math.log(taken[over] / taken[under]) for taken in times.values()))


def _ways(case: Case, folder: Path) -> dict[str, Call]:
    """The ways of a layer, each as a call that infers one sample."""
    from edgett.forms.tt.decompose import rebuild, tt_svd
    from edgett.model.tt_dense import TTDense  # isort: skip  # silences TensorFlow before it is imported
    import keras

    random = np.random.default_rng(0)
    shape, best = case.shape, merged(case.shape, growing=True)
    cores = [(random.normal(size=core) / math.sqrt(core[1] * core[3])).astype(np.float32) for core in shape.cores]
    bias = random.normal(size=shape.matrix[1]).astype(np.float32)
    x = random.normal(size=(1, shape.matrix[0])).astype(np.float32)
    weight = np.asarray(rebuild(tuple(cores)), np.float32)
    dense = keras.layers.Dense(shape.matrix[1])
    dense.build((None, shape.matrix[0]))
    dense.set_weights([weight, bias])
    wanted = x @ weight + bias
    exported = {"edgett": TTDense.from_dense(dense, shape, tuple(cores))}
    if best != shape:
        exported["merged"] = TTDense.from_dense(dense, best, tt_svd(weight, best))
    ways = {name: litert(_exported(layer, x, folder / name), x, wanted) for name, layer in exported.items()}
    ways["products"] = litert(_products(shape), None, None)
    ways["plain"] = litert(_plain(shape, cores, bias), x, wanted)
    ways["dense"] = litert(_exported(dense, x, folder / "dense"), x, wanted)
    ways["T3F"] = litert(_t3f(shape, cores, bias), x, wanted)
    return ways | _iree(folder / "edgett.onnx", x, wanted)


def _exported(layer: Any, x: NDArray[np.float32], stem: Path) -> bytes:
    """The layer as edgett exports it, .onnx beside it. Raises RuntimeError when they are not what was predicted."""
    import keras

    model = keras.Sequential([keras.Input((x.shape[1],), name="x"), layer])
    style = files.Style()
    paths = files.write(model, style, stem, (".tflite", ".onnx"))
    for path, found in files.check(
        model, {"x": x}, [path.relative_to(stem.parent) for path in paths], stem.parent, style
    ).items():
        if not found.ok:
            raise RuntimeError(f"{path} is not what was predicted: {found}")
    return paths[0].read_bytes()


def _products(shape: TTShape) -> bytes:
    """The products of the layer, each in a branch of its own."""
    import tensorflow as tf

    products = [operator for operator in plan(shape) if isinstance(operator, Product)]
    random = np.random.default_rng(0)
    matrices = [random.normal(size=(one.inner, one.columns)).astype(np.float32) for one in products]
    return _converted(
        lambda *inputs: [tf.matmul(x, matrix) for x, matrix in zip(inputs, matrices, strict=True)],
        [(one.rows, one.inner) for one in products],
    )


def _plain(shape: TTShape, cores: Matrices, bias: NDArray[np.float32]) -> bytes:
    """A reshape, a product and a transpose a core."""
    import tensorflow as tf

    def run(tensor: Any) -> Any:
        rows = shape.matrix[0]
        for core in reversed(cores):
            before, x, y, after = core.shape
            rows //= x
            matrix = core.transpose(1, 3, 2, 0).reshape(x * after, y * before)
            tensor = tf.matmul(tf.reshape(tensor, (rows, x * after)), matrix)
            tensor = tf.transpose(tf.reshape(tensor, (rows, y, before)), (1, 0, 2))
            rows *= y
        return tf.reshape(tensor, (1, shape.matrix[1])) + bias

    return _converted(run, [(1, shape.matrix[0])])


def _t3f(shape: TTShape, cores: Matrices, bias: NDArray[np.float32]) -> bytes:
    import t3f
    import tensorflow as tf

    train = t3f.TensorTrain([tf.constant(core) for core in cores], tt_ranks=shape.ranks)
    return _converted(lambda x: t3f.matmul(x, train) + bias, [(1, shape.matrix[0])])


def _converted(function: Callable[..., Any], inputs: list[tuple[int, ...]]) -> bytes:
    """A function of tensors as TFLite, nothing left to chance: constants are constants, shapes are static."""
    import tensorflow as tf

    with quiet():
        module = tf.Module()
        module.run = tf.function(
            function, autograph=False, input_signature=[tf.TensorSpec(dims, tf.float32) for dims in inputs]
        )
        graph = module.run.get_concrete_function()
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([graph], module).convert())


def litert(content: bytes, x: NDArray[np.float32] | None, wanted: NDArray[np.float32] | None) -> Call:
    """A call that infers one sample, `x` or a random one; `wanted` is what it must make of it."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    random = np.random.default_rng(0)
    for entry in interpreter.get_input_details():
        values = random.normal(size=entry["shape"]).astype(entry["dtype"]) if x is None else x
        interpreter.set_tensor(entry["index"], values)
    interpreter.invoke()
    if wanted is not None:
        _check(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), wanted)
    return interpreter.invoke


def _iree(path: Path, x: NDArray[np.float32], wanted: NDArray[np.float32]) -> dict[str, Call]:
    """IREE on its synchronous CPU device, which has no other thread; nothing, and a line why, when it is not there."""
    try:
        import iree.compiler as compiler
        import iree.runtime as runtime
    except ImportError:
        print("IREE is left out: pip install iree-base-compiler iree-base-runtime")
        return {}
    translated = path.with_suffix(".mlir")
    importer = [sys.executable, "-m", "iree.compiler.tools.import_onnx", str(path), "-o", str(translated)]
    subprocess.run(importer, check=True, capture_output=True)
    ways = {}
    for name, options in IREE.items():
        with quiet():
            code = compiler.compile_file(str(translated), target_backends=["llvm-cpu"], extra_args=options)
        instance, device = runtime.VmInstance(), runtime.get_device("local-sync")
        module = runtime.VmModule.copy_buffer(instance, code)
        context = runtime.VmContext(instance, [runtime.create_hal_module(instance, device), module])
        function = module.lookup_function(path.stem) or module.lookup_function(module.function_names[0])
        held = device.allocator.allocate_buffer_copy(
            memory_type=runtime.MemoryType.DEVICE_LOCAL, allowed_usage=runtime.BufferUsage.DEFAULT, device=device,
            buffer=x, element_type=runtime.HalElementType.FLOAT_32,
        )  # fmt: skip

        def call(context: Any = context, function: Any = function, held: Any = held) -> Any:
            arguments, results = runtime.VmVariantList(1), runtime.VmVariantList(1)
            arguments.push_ref(held)
            context.invoke(function, arguments, results)
            return results

        made = call().get_as_object(0, runtime.HalBufferView)
        _check(runtime.DeviceArray(device, made, implicit_host_transfer=True).to_host(), wanted)
        ways[name] = call
    return ways


def _check(made: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
    """Raise AssertionError when a way computes something else, float32 rounding apart."""
    np.testing.assert_allclose(made, wanted, atol=1e-4 * float(np.abs(wanted).max()))
