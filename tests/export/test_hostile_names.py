"""Names out of a model file: whatever they are, the code that comes of them is that of a model with plain ones."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgett.device import local
from edgett.errors import ModelError, ToolError
from edgett.escape import c_comment, markdown, one_line, terminal
from edgett.export import c, tflm
from edgett.export.anonymous import anonymous
from edgett.export.c import CSource
from edgett.firmware import package
from edgett.graph.wire import identifiers
from tests.export.compiled import STRICT, build, templates_are_compiled_once, written  # noqa: F401
from tests.export.exported import folder
from tests.firmware.tools import needs

BREAKOUT = (
    "d\n */\nstatic inline float expf(float x) { extern int system(const char *); system(\"id\"); return x; }\n"
    "/*\n * OpType: Softmax\n * Name: n2\n"
)  # fmt: skip
"""It ended a comment of emx-onnx-cgen's, whose reader here took the rest for one of its functions."""
HOSTILE = (
    BREAKOUT, "*/", "*\\", "*??/\n/ int x;", "a */ /* b", "/*", "// x \\", "??/", "line\\", "\u202egnp.\u2066exe",
    "é\x1b[2J", "\x00", "$(touch pwned)", "${X}", "$<TARGET>", "%s", "#include <x>", "\r#define float int",
    '"; int x; "', "<script>", "| a | b", "net_run", "net_workspace_float", "net_product_float", "int8_t", "int", "3",
    "ßtraße", "a" * 5000,
)  # fmt: skip


def graph(name: str = "y", *, other: str = "plain") -> Any:
    """A product and a softmax under names as they are given; `other` is what everything else is called."""
    value, weight = helper.make_tensor_value_info, np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
    stored = [numpy_helper.from_array(weight, f"{other}/w"), numpy_helper.from_array(weight[0], f"{other}/b")]
    nodes = [
        helper.make_node("MatMul", [f"{other}/x", f"{other}/w"], [f"{other}/m"], name=f"{other}/1", doc_string=other),
        helper.make_node("Add", [f"{other}/m", f"{other}/b"], [f"{other}/a"], name=f"{other}/2"),
        helper.make_node("Softmax", [f"{other}/a"], [name], name=f"{other}/3"),
    ]
    ends = value(f"{other}/x", TensorProto.FLOAT, (1, 4), other), value(name, TensorProto.FLOAT, (1, 4))
    made = helper.make_graph(nodes, other, ends[:1], ends[1:], stored, doc_string=other)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name=other)
    model.doc_string = model.domain = other
    helper.set_model_props(model, {other: other})
    return model


def generated(model: Any, folder: Path, name: str = "net") -> CSource:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return c.generate(path, name, "1")


def symbols(source: CSource, folder: Path) -> list[str]:
    """Every symbol of the compiled C, local ones too; trigraphs mean something in C99."""
    folder.mkdir(exist_ok=True)
    subprocess.run(
        ["gcc", *STRICT, f"-I{folder}", "-c", str(written(source, folder)), "-o", str(folder / "o")], check=True
    )
    listed = subprocess.run(["nm", str(folder / "o")], check=True, capture_output=True, text=True).stdout
    return [line.split(maxsplit=1 if line[0] == " " else 2)[-1] for line in listed.splitlines()]


def bodies(source: CSource) -> str:
    """The code, with the parameters of its entry numbered: only those may be called after the file's names."""
    before, entry, after = source.code.partition("void net_run(")
    for index, port in enumerate((*source.inputs, *source.outputs)):
        after = re.sub(rf"\b{port.identifier}\b", f"port {index}", after)
    return before + entry + after


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """The code and the symbols of the same model under plain names."""
    place = tmp_path_factory.mktemp("plain")
    source = generated(graph(), place)
    return bodies(source), symbols(source, place)


@needs("gcc")
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_model_of_any_words_gives_the_same_functions(name: str, plain: tuple[str, list[str]], tmp_path: Path) -> None:
    found = generated(graph(name, other=name), tmp_path)

    assert (found.inputs[0].name, found.outputs[0].name) == (f"{name}/x", name)
    assert (bodies(found), symbols(found, tmp_path / "found")) == plain


def test_names_in_the_graph_that_is_compiled_are_our_own() -> None:
    hidden = anonymous(graph(BREAKOUT, other="*/ secret"))

    onnx.checker.check_model(hidden.model, full_check=True)
    assert set(hidden.names.values()) == {BREAKOUT, "*/ secret/x"}
    content = hidden.model.SerializeToString()
    assert b"secret" not in content and b"system" not in content
    assert content == anonymous(graph("z", other="another")).model.SerializeToString()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda model: setattr(model.graph.node[0], "op_type", "Mat\n*/Mul"), "Mul"),
        (lambda model: setattr(model.graph.node[0], "domain", "a\n*/"), "a"),
        (lambda model: model.graph.node[2].attribute.append(helper.make_attribute("axis\n", -1)), "axis"),
        (lambda model: model.graph.node[2].attribute.append(helper.make_attribute("mode", "a\n*/")), "mode"),
        (lambda model: setattr(model.graph.initializer[0], "data_location", TensorProto.EXTERNAL), "another file"),
        (lambda model: model.graph.sparse_initializer.add(), "sparse"),
        (lambda model: model.functions.add(), "functions"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_harmless_is_refused(change: Any, told: str) -> None:
    model = graph()
    change(model)
    with pytest.raises(ValueError, match=told):
        anonymous(model)


def test_numbers_of_another_file_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = graph()
    (tmp_path / "w.bin").write_bytes(bytes(64))
    weight = model.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.ClearField("raw_data")
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "w.bin"
    with pytest.raises(ToolError, match="another file"):
        generated(model, tmp_path)


@functools.cache
def artefacts(hostile: bool) -> tuple[Path, ...]:
    """A Keras model of two outputs, which are called as given, as int8 and float32 files."""
    from edgett.model import ports
    from edgett.model.models import load_model
    from edgett.workflow import files

    keras = ports.keras
    keras.utils.set_random_seed(3)
    first, second = (BREAKOUT, "z*\\ ??/\u202e${X}") if hostile else ("first", "second")
    entry = keras.Input((8,), name="entry")
    hidden = keras.layers.Dense(6, activation="relu", name="hidden")(entry)
    ends = {
        first: keras.layers.Dense(3, activation="softmax", name="a")(hidden),
        second: keras.layers.Dense(2, name="b")(hidden),
    }
    stem = Path(folder().name) / f"hostile_{hostile}"
    keras.Model(entry, ends).save(stem.with_suffix(".keras"))
    model = load_model(stem.with_suffix(".keras"))
    samples = {"entry": np.random.default_rng(4).normal(size=(16, 8)).astype(np.float32)}
    paths = []
    for kind, style in (("int8", files.Style(1, files.batches(samples, 1))), ("float32", files.Style(1))):
        made = files.write(model, style, stem.with_name(f"{stem.name}_{kind}"), (".tflite", ".onnx"))
        checks = files.check(model, samples, made, Path("/"), style)
        assert [check.ok for check in checks.values()] == [True, True]
        paths += made
    return tuple(paths)


@pytest.mark.slow
@needs("gcc")
@pytest.mark.parametrize("kind", [1, 3], ids=["int8", "float32"])
def test_a_model_of_keras_runs_alike_in_c(kind: int, tmp_path: Path) -> None:
    made = []
    for hostile in (False, True):
        place = tmp_path / str(hostile)
        place.mkdir()
        made.append(build(artefacts(hostile)[kind], "net", place))
    plain, hostile = made

    assert symbols(plain.source, tmp_path / "p") == symbols(hostile.source, tmp_path / "h")
    for inputs in plain.samples(4):
        for one, other in zip(plain.run(inputs).values(), hostile.run(inputs).values(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert hostile.source.outputs[0].name == BREAKOUT


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, 1], ids=["tflm", "c"])
def test_a_package_builds_alike(kind: int, tmp_path: Path) -> None:
    texts = []
    for hostile in (False, True):
        artefact = artefacts(hostile)[kind]
        if kind == 0:
            micro = tflm.generate(artefact, "net", "1", 4000)
            headers, code = {"net.h": micro.header, "net_ops.h": micro.ops}, {"net_model.c": micro.code}
            sources = package.Sources("net", headers, code, micro.inputs, micro.outputs, "a function")
        else:
            made = c.generate(artefact, "net", "1")
            sources = package.Sources(
                "net", {"net.h": made.header}, {"net.c": made.code}, made.inputs, made.outputs, "net_run"
            )
        names = [port.name for port in sources.inputs]
        result = local.run(artefact, {names[0]: np.ones((2, 8), np.float32)}, 1)
        given = tuple(port.stored(np.ones((2, 8))) for port in sources.inputs)
        expected = tuple(port.stored(result[port.name]).reshape(2, -1) for port in sources.outputs)
        texts.append(package.files(sources, package.Vectors(given, expected, (3.0,) * len(expected))))
        room = tmp_path / str(hostile)
        for path, text in texts[-1].items():
            (room / path).parent.mkdir(parents=True, exist_ok=True)
            (room / path).write_text(text)
            if path.endswith(".c"):
                command = ["gcc", *STRICT, f"-I{room / 'include'}", "-c", str(room / path), "-o", str(room / "o")]
                subprocess.run(command, check=True)
    plain, hostile = texts
    assert plain.keys() == hostile.keys()
    for path in ("CMakeLists.txt", "edgett_netConfig.cmake", "net.mk"):
        assert plain[path] == hostile[path]
    for text in hostile.values():
        assert text.isascii() and all(letter.isprintable() or letter in "\n\t" for letter in text)


@pytest.mark.parametrize("name", ["", "\ud800"])
def test_what_no_file_can_hold_is_no_name_of_an_output(name: str) -> None:
    from edgett.model import ports
    from edgett.model.servable import refuse_unspeakable
    from edgett.model.trace import trace

    keras = ports.keras
    entry = keras.Input((2,), name="x")
    with pytest.raises(ModelError, match="output"):
        refuse_unspeakable(trace(keras.Model(entry, {name: keras.layers.Dense(2)(entry)})))


def test_a_layer_without_weights_has_a_name_that_can_be_written_down() -> None:
    from edgett.model import ports
    from edgett.model.servable import refuse_unspeakable
    from edgett.model.trace import trace

    keras = ports.keras
    entry = keras.Input((2,), name="x")
    made = keras.layers.ReLU(name="re\x1b[2Jlu")(keras.layers.Dense(2)(entry))
    with pytest.raises(ModelError, match=r"layer 're\\x1b\[2Jlu'"):
        refuse_unspeakable(trace(keras.Model(entry, made)))


@pytest.mark.parametrize("name", HOSTILE)
def test_comments_end_where_they_are_meant_to(name: str) -> None:
    told = c_comment(name)
    assert told.isascii() and told.isprintable() and "\\" not in told
    assert not any(pair in f" {told} " for pair in ("*/", "/*", "??", "//"))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_terminal_obeys_nothing(name: str) -> None:
    for told in (terminal(name), one_line(name), markdown(name)):
        assert all(letter.isprintable() or letter in "\n\t\u200c\u200d" for letter in told)
    assert "\n" not in one_line(name)


def test_identifiers_are_ones_and_differ() -> None:
    found = identifiers([*HOSTILE, *HOSTILE], "net")
    assert len(set(found)) == len(found)
    for one in found:
        assert one.isascii() and one.isidentifier() and not one.startswith("net_") and len(one) < 50
