"""int8 files: what they store and compute is foretold to the number, and they say what the float model says."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.device import local
from edgett.export import onnx, tflite
from edgett.export.check import INT8_TOLERANCE, GraphCheck, compare, compare_outputs
from edgett.export.decisions import Decision
from edgett.export.owners import Owners
from edgett.export.tensors import Role, TensorError, own_noise
from edgett.graph.graph import Constant, Graph
from edgett.graph.memory import arena_bytes
from edgett.graph.op import named
from edgett.graph.traits import Rule
from edgett.model import ports
from edgett.model.factored import Factored
from edgett.model.inference import inference_form
from edgett.model.layers import factored_layers
from edgett.model.predict import predict
from edgett.model.servable import Servable
from edgett.model.tt_dense import TTDense
from edgett.workflow.files import WATCHED, Style, tensors, write
from edgett.workflow.reverting import without, worst
from tests.export import exported as zoo
from tests.export.exported import CASES
from tests.export.test_tflite import MICRO

FIRST_CORE = Constant("factor_0", 1 * 2 * 3 * 2, 1)
"""Of the layer tt3."""
QUICK = ("tensor trains", "shared", "sequences")
NAMES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES if not CASES[name].partial
]


@dataclass(frozen=True)
class Int8:
    """A model, what is foretold of it, and the file."""

    model: keras.Model
    predicted: Graph
    owners: Owners
    path: Path

    def read(self) -> Graph:
        read = tflite.read if self.path.suffix == ".tflite" else onnx.read
        return read(self.path, self.owners)

    def check(self) -> GraphCheck:
        return compare(self.predicted, self.read(), "int8", 1)


def drawn(model: keras.Model, count: int, batch: int = 1, seed: int = 3) -> Iterator[dict[str, np.ndarray]]:
    numbers = np.random.default_rng(seed)
    for _ in range(count):
        yield {p.name: numbers.normal(size=(batch, *p.shape)).astype(p.dtype) for p in ports.input_ports(model)}


@functools.cache
def exported(name: str, suffix: str) -> Int8:
    return export(zoo.lively(CASES[name].build()), Path(zoo.folder().name) / f"int8-{name.replace(' ', '_')}{suffix}")


def export(model: keras.Model, path: Path, floats: frozenset[str] = frozenset()) -> Int8:
    form = inference_form(model, 1)
    servable = Servable(form)
    owners = Owners(servable.paths, frozenset(predict(form).layers), servable.producers)
    style = Style(1, list(drawn(model, 64)), floats)
    write(model, style, path.with_suffix(""), [path.suffix])
    predicted = predict(form, fused=path.suffix == ".tflite", quantised=True, floats=floats)
    return Int8(model, predicted, owners, path)


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
class TestInt8:
    @pytest.mark.parametrize("name", NAMES)
    def test_is_what_was_predicted(self, name: str, suffix: str) -> None:
        check = exported(name, suffix).check()
        assert check.mismatches == () and check.partial == ()
        assert check.params[0] > 0 and check.peak_bytes[1] > 0

    @pytest.mark.parametrize("name", NAMES)
    def test_says_what_the_float_model_says(self, name: str, suffix: str) -> None:
        made = exported(name, suffix)
        samples = {
            key: np.concatenate([one[key] for one in drawn(made.model, 64)]) for key in next(drawn(made.model, 1))
        }
        reference = ports.by_output(made.model, made.model.predict(ports.feed(made.model, samples), verbose=0))
        found, classes = local.run(made.path, samples, 1), dict.fromkeys(reference, Decision.TOP)
        numerics = compare_outputs(reference, found, INT8_TOLERANCE, classes)
        # A step is 1/256 of a tensor's range; up to six of them add up.
        assert numerics.l2_relative < 0.1 and numerics.top1 > 0.95

    @pytest.mark.slow
    def test_the_bytes_depend_on_the_model_alone(self, suffix: str, tmp_path: Path) -> None:
        again = export(zoo.fresh("tensor trains"), tmp_path / f"again{suffix}")
        assert again.path.read_bytes() == exported("tensor trains", suffix).path.read_bytes()

    def test_a_core_less_is_seen(self, suffix: str) -> None:
        made = exported("tensor trains", suffix)
        (core,) = (step for step in made.predicted.steps if step.layer == "tt3" and step.constants[:1] == (FIRST_CORE,))
        idle = replace(core, constants=(), flops=0, macs=0)
        less = replace(made.predicted, steps=tuple(idle if step is core else step for step in made.predicted.steps))
        wrong = replace(made, predicted=less).check().mismatches
        assert [item.found - item.predicted for item in wrong][:4] == [FIRST_CORE.count, 12, core.flops, core.macs]
        assert all("tt3" in item.where for item in wrong[:4])

    def test_branches_run_one_after_the_other_as_foretold(self, suffix: str, tmp_path: Path) -> None:
        inputs = keras.Input((4, 6), name="x")
        flat = keras.layers.Flatten(name="flat")(inputs)
        heads = [TTDense((4, 6), (5, 8), (1, 7, 1), name=name)(flat) for name in ("zeta", "alpha", "mid")]
        check = export(zoo.lively(keras.Model(inputs, heads)), tmp_path / f"heads{suffix}").check()
        assert check.mismatches == ()

    def test_a_bias_of_two_calls_is_stored_for_each(self, suffix: str) -> None:
        """Its scale is that of the input, of which the calls have one each."""
        rows = {row.layer: row for row in exported("shared", suffix).check().layers}
        assert rows["dense"].params == (12 * 8 + 2 * 8, 12 * 8 + 2 * 8)


@pytest.mark.parametrize(("name", "most"), [("tensor trains", 1), ("sequences", 4)])
def test_tflite_takes_and_gives_int8_and_has_a_scale_for_each_channel_of_a_convolution(name: str, most: int) -> None:
    """One for all of a fully connected layer and of a core: for each column they would take more than the numbers."""
    from ai_edge_litert import schema_py_generated as schema

    model = tflite._parsed(exported(name, ".tflite").path)
    body = model.subgraphs[0]
    ends = [body.tensors[index] for index in (*body.inputs, *body.outputs)]
    assert {tensor.type for tensor in ends} == {schema.TensorType.INT8}
    kinds = {tensor.type for tensor in body.tensors}
    assert schema.TensorType.FLOAT32 not in kinds
    rules = {operator: named(tflite.operator_name(model, operator)).rule for operator in body.operators}
    products = [operator for operator, rule in rules.items() if rule is Rule.PRODUCT]
    assert max(len(body.tensors[operator.inputs[1]].quantization.scale) for operator in products) == most


def test_onnx_stores_int8_and_keeps_the_names_of_its_ends() -> None:
    import onnx as library

    made = exported("tensor trains", ".onnx")
    graph = library.load(made.path).graph
    assert [value.name for value in graph.input] == ["my-input"]
    stored = {tensor.name: tensor for tensor in graph.initializer}
    products = [node for node in onnx.seen_through(graph).nodes if node.op_type in ("MatMul", "Gemm")]
    assert len(products) == sum(CASES["tensor trains"].cores.values())
    for node in products:
        assert stored[node.input[1]].data_type == library.TensorProto.INT8


def test_the_predicted_peak_bounds_the_arena_of_the_microcontroller_interpreter() -> None:
    made = [exported(name, ".tflite") for name in ("sequences", "shared", "named")]
    text = subprocess.run(
        [sys.executable, "-c", MICRO, *(str(one.path) for one in made)], check=True, capture_output=True, text=True
    )
    heads = [int(head) for head in re.findall(r"allocation head (\d+) bytes", text.stdout + text.stderr)]
    assert len(heads) == len(made)
    for one, head in zip(made, heads, strict=True):
        assert head <= arena_bytes(one.predicted, 1) <= 1.35 * head


MIXED = {
    "one in the middle": ("tensor trains", {"tt3"}),
    "the first, two neighbours and the last": ("tensor trains", {"fc.1-a>b", "tt2", "bare", "out"}),
    "called twice": ("shared", {"0train"}),
    "inside another model": ("nested", {"encoder/t"}),
    "nothing but it": ("alone", {"t"}),
}


QUICKLY_MIXED = ("one in the middle", "nothing but it")


def alone() -> keras.Model:
    """Its output is that of the layer, which has no activation."""
    return keras.Sequential([keras.Input((12,)), TTDense((3, 4), (2, 3), (1, 2, 1), name="t")])


@functools.cache
def mixed(name: str, suffix: str) -> Int8:
    case, floats = MIXED[name]
    model = zoo.lively(alone() if case == "alone" else CASES[case].build())
    return export(model, Path(zoo.folder().name) / f"mixed-{name.replace(' ', '_')}{suffix}", frozenset(floats))


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize(
    "name", [name if name in QUICKLY_MIXED else pytest.param(name, marks=pytest.mark.slow) for name in MIXED]
)
class TestLayersInFloat32:
    @pytest.mark.slow
    def test_the_file_is_what_was_predicted(self, name: str, suffix: str) -> None:
        check = mixed(name, suffix).check()
        assert check.mismatches == () and check.partial == ()
        assert check.weight_bytes[0] > check.params[0]

    def test_every_product_of_theirs_is_float_and_no_other(self, name: str, suffix: str) -> None:
        wide = {
            step.layer: {constant.width for constant in step.constants}
            for step in mixed(name, suffix).read().steps
            if step.macs
        }
        assert {layer for layer, widths in wide.items() if 1 not in widths} == MIXED[name][1]

    def test_a_prediction_of_int8_throughout_is_told(self, name: str, suffix: str) -> None:
        made = mixed(name, suffix)
        narrow = predict(inference_form(made.model, 1), fused=suffix == ".tflite", quantised=True)
        found = {item.where for item in replace(made, predicted=narrow).check().mismatches} - {"int8, peak bytes"}
        assert found == {f"int8, layer {layer}, bytes of parameters" for layer in MIXED[name][1]}

    @pytest.mark.slow
    def test_its_tensors_are_told_all_the_same(self, name: str, suffix: str) -> None:
        made = mixed(name, suffix)
        layers = factored_layers(made.model)
        rows = tensors(made.model, made.path, samples(made.model), tuple(layers), 1)
        products = [step for step in made.read().steps if step.macs]
        assert len([row for row in rows if row.role is Role.PRODUCT]) == len(products)
        assert {row.layer for row in rows if row.role is Role.OUTPUT} == set(layers)
        assert min(row.snr_db for row in rows) > 15

    def test_it_runs_and_is_nearer_to_the_model(self, name: str, suffix: str) -> None:
        made = mixed(name, suffix)
        numerics = compare_outputs(reference(made.model), local.run(made.path, samples(made.model), 1))
        assert numerics.l2_relative < 0.1


def samples(model: keras.Model, count: int = WATCHED) -> dict[str, np.ndarray]:
    parts = list(drawn(model, count, seed=5))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def reference(model: keras.Model) -> dict[str, np.ndarray]:
    return ports.by_output(model, model.predict(ports.feed(model, samples(model)), verbose=0))


def test_the_ends_of_a_mixed_tflite_are_int8() -> None:
    from ai_edge_litert import schema_py_generated as schema

    for name in QUICKLY_MIXED:
        body = tflite._parsed(mixed(name, ".tflite").path).subgraphs[0]
        assert {body.tensors[i].type for i in (*body.inputs, *body.outputs)} == {schema.TensorType.INT8}, name


def by_hand(path: Path, found: str, x: np.ndarray) -> np.ndarray:
    """A tensor inside a .tflite for some samples, by the formula of its scale and zero point."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(path),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    (detail,) = (item for item in interpreter.get_tensor_details() if item["name"] == found)
    rows = []
    for row in x:
        scale, zero = entry["quantization"]
        interpreter.set_tensor(entry["index"], np.clip(np.round(row[None] / scale) + zero, -128, 127).astype(np.int8))
        interpreter.invoke()
        scale, zero = detail["quantization"]
        rows.append(scale * (interpreter.get_tensor(detail["index"]).astype(np.float64) - zero))
    return np.concatenate(rows)


@functools.cache
def errors(suffix: str) -> tuple[TensorError, ...]:
    made = exported("tensor trains", suffix)
    return tensors(made.model, made.path, samples(made.model), tuple(factored_layers(made.model)), 1)


class TestTensors:
    def test_the_errors_are_those_against_keras(self) -> None:
        """Independently of the float32 twin: the layer's output as Keras has it."""
        made = exported("tensor trains", ".tflite")
        x = samples(made.model)
        for layer in ("fc.1-a>b", "tt4"):
            (row,) = (row for row in errors(".tflite") if row.layer == layer and row.role is Role.OUTPUT)
            exact = keras.Model(made.model.inputs, made.model.get_layer(layer).output).predict(x["my-input"], verbose=0)
            error = by_hand(made.path, row.tensor, x["my-input"]) - exact
            np.testing.assert_allclose(
                row.snr_db, 10 * np.log10(np.square(exact).sum() / np.square(error).sum()), atol=0.01
            )
            np.testing.assert_allclose(row.max_abs, np.abs(error).max(), rtol=1e-4)

    @pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
    def test_there_is_a_row_for_each_product_and_for_the_ends_of_each_layer(self, suffix: str) -> None:
        rows = errors(suffix)
        for layer, cores in CASES["tensor trains"].cores.items():
            roles = [row.role for row in rows if row.layer == layer]
            assert roles.count(Role.INPUT) == roles.count(Role.OUTPUT) == 1
            assert roles.count(Role.PRODUCT) == cores
        assert all(row.snr_db > 10 for row in rows)

    def test_both_formats_tell_the_same(self) -> None:
        """Within a decibel: ONNX does not round its input, and TFLite keeps more digits between products."""
        found = [
            [row.snr_db for row in errors(suffix) if row.layer in ("tt3", "tt4")] for suffix in (".tflite", ".onnx")
        ]
        np.testing.assert_allclose(*found, atol=1.0)

    def test_what_is_exact_and_what_is_nothing_but_noise(self) -> None:
        row = TensorError("t", Role.OUTPUT, "x", 4.0, 0.0, 0.0)
        assert row.snr_db == np.inf and replace(row, noise=1.0, signal=0.0).snr_db == -np.inf
        assert replace(row, noise=0.04).snr_db == pytest.approx(20)


def unbalanced() -> keras.Model:
    """Two TT layers; the bond of the first has a loud and a faint channel, which are one in float32."""
    layers = [TTDense((3, 4), (4, 4), (1, 3, 1), activation="relu", name="bad")]
    layers += [TTDense((4, 4), (3, 3), (1, 3, 1), name="good")]
    model = zoo.lively(keras.Sequential([keras.Input((12,)), *layers]))
    first, last, bias = model.get_layer("bad").get_weights()
    first[..., 0] /= 3e3
    last[0] *= 3e3
    model.get_layer("bad").set_weights([first, last, bias])
    return model


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
class TestGoingBack:
    @pytest.mark.slow
    def test_the_layer_that_adds_the_noise_goes_first(self, suffix: str, tmp_path: Path) -> None:
        """Not the one behind it, though its output is no better."""
        made = export(unbalanced(), tmp_path / f"bad{suffix}")
        x = samples(made.model)
        layer, snr = worst(made.model, made.path, x, ("good", "bad"), 1)
        assert layer == "bad" and snr < 10
        rows = tensors(made.model, made.path, x, ("bad", "good"), 1)
        ends = {row.layer: row.snr_db for row in rows if row.role is Role.OUTPUT}
        assert ends["good"] < 12 and own_noise(rows, "good") < own_noise(rows, "bad") / 2

    @pytest.mark.slow
    def test_in_float32_it_does_no_harm(self, suffix: str, tmp_path: Path) -> None:
        made = export(unbalanced(), tmp_path / f"mended{suffix}", frozenset({"bad"}))
        rows = tensors(made.model, made.path, samples(made.model), ("bad", "good"), 1)
        assert min(row.snr_db for row in rows) > 25 and made.check().mismatches == ()


def test_a_dense_layer_again_computes_what_the_cores_did() -> None:
    original = zoo.lively(
        keras.Sequential(
            [keras.Input((12,)), keras.layers.Dense(16, "relu", name="bad"), keras.layers.Dense(9, name="good")]
        )
    )
    twin = without(unbalanced(), original, ["bad"])
    assert type(twin.get_layer("bad")) is keras.layers.Dense and isinstance(twin.get_layer("good"), Factored)
    x = samples(twin)
    np.testing.assert_allclose(reference(twin)["good"], reference(unbalanced())["good"], rtol=1e-4, atol=1e-4)
    assert factored_layers(without(twin, original, ["good"])) == {} and x
