"""What no rule counts is not known: it is read back from the file, or stays unknown, and never holds unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.device import micro
from edgett.export import check, tflite
from edgett.export.check import Verdict
from edgett.graph.memory import arena_bytes, live_bytes
from edgett.model.trunk import share
from edgett.search.choose import feasible, holdings
from edgett.search.constraints import DROP, FLOPS, LATENCY, MODEL_BYTES, PEAK, Constraints, Lost, Objective
from edgett.search.explore import Costing, dense_solution
from edgett.search.quality import Quality
from edgett.search.solution import Trial
from edgett.workflow import files, survey
from edgett.workflow.files import Style
from edgett.workflow.readback import as_written, least_peak

L = keras.layers
RAM = 64 << 10
LIMITS = Constraints(Objective.MEMORY, {MODEL_BYTES: 256 << 10, PEAK: RAM, FLOPS: 10**9, LATENCY: 5.0, DROP: 1.5})


def recurrent(
    units: int = 32, steps: int = 100, features: int = 8, layer: Callable[..., L.Layer] = L.LSTM
) -> keras.Model:
    inputs = keras.Input((steps, features), name="rows")
    hidden = L.Dense(16, activation="relu", name="fc")(layer(units, name="rnn")(inputs))
    return keras.Model(inputs, L.Dense(4, name="out")(hidden))


def looked_up(
    model: keras.Model, suffix: str, folder: Path
) -> tuple[Path, dict[str, bool | None], dict[str, bool | None]]:
    """The file, and what becomes of the budgets before it is there and when it is."""
    costing, style = Costing(), Style()
    before = dense_solution(survey.graphs(model, costing)(frozenset()), costing)
    (path,) = files.write(model, style, folder / "model", (suffix,))
    after = as_written(before, model, path, style, costing)
    held = ({item.name: item.holds for item in holdings(one, Lost(0.0), LIMITS)} for one in (before, after))
    return path, *held


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, Path]:
    model = recurrent()
    (path,) = files.write(model, Style(), tmp_path_factory.mktemp("small") / "model", (".tflite",))
    return model, path


def test_nothing_holds_before_the_file_is_there(small: tuple[keras.Model, Path]) -> None:
    model, path = small
    costing = Costing()
    dense = dense_solution(survey.graphs(model, costing)(frozenset()), costing)
    assert dense.partial == ("LSTM (rnn)",) and dense.inference.us is None
    assert {item.name: item.holds for item in holdings(dense, Lost(0.0), LIMITS)} == {
        "model_bytes": None, "peak_activation_bytes": None, "flops": None, "latency_ms": None, "accuracy_drop_pp": True,
    }  # fmt: skip

    written = as_written(dense, model, path, Style(), costing)
    held = {item.name: item for item in holdings(written, Lost(0.0), LIMITS)}
    assert held["model_bytes"].holds and held["model_bytes"].value == path.stat().st_size
    assert held["peak_activation_bytes"].holds and held["flops"].holds is held["latency_ms"].holds is None
    assert held["flops"].at_least and not held["peak_activation_bytes"].at_least


def test_the_peak_read_back_is_what_the_interpreter_takes(small: tuple[keras.Model, Path]) -> None:
    """The rows that go into the loop lie there three times: as they came, in its condition and in its body."""
    pytest.importorskip(micro.PACKAGE)
    model, path = small
    graph = files.read(model, path, 1)
    assert live_bytes(graph) > 3 * 4 * 100 * 8
    used = micro.arena(path)
    assert used is not None and live_bytes(graph) <= used.head <= arena_bytes(graph)


@pytest.mark.slow
@pytest.mark.parametrize(
    "layer",
    [L.GRU, L.SimpleRNN, partial(L.LSTM, go_backwards=True), lambda n, name: L.Bidirectional(L.LSTM(n), name=name)],
)
def test_the_peak_of_other_recurrent_layers_too(layer: Callable[..., L.Layer], tmp_path: Path) -> None:
    pytest.importorskip(micro.PACKAGE)
    model = recurrent(layer=layer)
    (path,) = files.write(model, Style(), tmp_path / "model", (".tflite",))
    graph, used = files.read(model, path, 1), micro.arena(path)
    assert used is not None and live_bytes(graph) <= used.head <= arena_bytes(graph)


def test_a_peak_over_the_limit_is_broken_before_anything_is_trained(tmp_path: Path) -> None:
    """The prediction sees a tenth of it: what goes in and what comes out."""
    model = recurrent(units=16, steps=500, features=12)
    costing, style = Costing(), Style()
    dense = dense_solution(survey.graphs(model, costing)(frozenset()), costing)
    (path,) = files.write(model, style, tmp_path / "model", (".tflite",))
    limits = LIMITS.with_limits({FLOPS: None, LATENCY: None})
    assert dense.peak_bytes < RAM < least_peak(model, path, style)

    told = replace(costing, least_peak=least_peak(model, path, style))
    again = dense_solution(survey.graphs(model, costing)(frozenset()), told)
    for solution in (again, as_written(dense, model, path, style, costing)):
        held = {item.name: item.holds for item in holdings(solution, Lost(0.0), limits)}
        assert held["peak_activation_bytes"] is False
        assert not feasible(Trial(solution, Quality(()), 0.0, 1, 0, 0.0), limits)


def test_what_runs_inside_a_loop_of_onnx_is_read_back(tmp_path: Path) -> None:
    """How often it runs is not in the file, nor therefore how much it collects: 100 rows of 32."""
    path, before, after = looked_up(recurrent(), ".onnx", tmp_path)
    assert before["peak_activation_bytes"] is None and after["peak_activation_bytes"] is True
    graph = files.read(recurrent(), path, 1)
    assert graph.unsized == () and live_bytes(graph) >= 4 * (100 * 32 + 100 * 8)


def test_a_partial_file_is_never_just_ok(small: tuple[keras.Model, Path]) -> None:
    model, path = small
    samples = {"rows": np.zeros((2, 100, 8), np.float32)}
    (found,) = files.check(model, samples, [Path(path.name)], path.parent, Style()).values()
    assert found.verdict is Verdict.PARTIAL and found.ok
    assert found.graph.peak_bytes[0] is None and found.graph.plan_bytes == arena_bytes(files.read(model, path, 1))
    assert found.graph.partial == ("LSTM (rnn)",)
    broken = replace(found, graph=replace(found.graph, mismatches=(check.Mismatch("fc", 1, 2),)))
    assert broken.verdict is Verdict.DIFFERS and not broken.ok


def test_a_recurrent_trunk_is_not_thought_free() -> None:
    model = recurrent()
    graph = survey.graphs(model)(frozenset())
    assert share(model, ["fc"], graph) > 0.9
    plain = keras.Sequential([keras.Input((8,)), L.Dense(8, name="a"), L.Dense(500, name="fc")])
    assert share(plain, ["fc"], survey.graphs(plain)(frozenset())) < 0.1


def test_a_graph_that_calls_itself_is_refused(small: tuple[keras.Model, Path], tmp_path: Path) -> None:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    from edgett.errors import ToolError
    from edgett.export.owners import Owners

    model = tflite._parsed(small[1])
    loop = next(one for one in model.subgraphs[0].operators if hasattr(one.builtinOptions, "bodySubgraphIndex"))
    owners = Owners({}, frozenset(), {})
    for number in (0, 99):
        loop.builtinOptions.bodySubgraphIndex = number
        builder = flatbuffers.Builder(1024)
        builder.Finish(schema.ModelT.Pack(model, builder), b"TFL3")
        (tmp_path / "bad.tflite").write_bytes(bytes(builder.Output()))
        with pytest.raises(ToolError, match=f"calls graph {number}"):
            tflite.read(tmp_path / "bad.tflite", owners)


def test_variables_are_there_all_the_time(tmp_path: Path) -> None:
    """As the states of UNIDIRECTIONAL_SEQUENCE_LSTM are, which Keras 2 made."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    from edgett.export.owners import Owners

    def tensor(size: int, variable: bool = False) -> object:
        return schema.TensorT(shape=[1, size], type=0, buffer=0, name=b"t", isVariable=variable)

    of = schema.BuiltinOperator
    kinds = (of.RELU, of.UNIDIRECTIONAL_SEQUENCE_LSTM)
    codes = [schema.OperatorCodeT(builtinCode=kind, deprecatedBuiltinCode=kind, version=1) for kind in kinds]
    steps = [
        schema.OperatorT(opcodeIndex=0, inputs=[0], outputs=[1]),
        schema.OperatorT(opcodeIndex=1, inputs=[1, -1, 2, 3], outputs=[4]),
    ]
    tensors = [tensor(100), tensor(100), tensor(40, True), tensor(40, True), tensor(10)]
    graph = schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[4], operators=steps)
    builder = flatbuffers.Builder(1024)
    model = schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=[schema.BufferT()])
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "old.tflite").write_bytes(bytes(builder.Output()))

    found = tflite.read(tmp_path / "old.tflite", Owners({}, frozenset(), {}))

    assert live_bytes(found) == 4 * (100 + 100 + 2 * 40)
    assert found.unruled == ("UNIDIRECTIONAL_SEQUENCE_LSTM (?)",)
