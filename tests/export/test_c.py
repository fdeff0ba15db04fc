"""C: compiled and run on this machine, it says what ONNX Runtime says of the artefact it was made of."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgett.device import local
from edgett.errors import ToolError, UsageError
from edgett.export import c, qoperator
from edgett.export.c import CSource
from tests.export import exported as zoo
from tests.export import test_int8
from tests.export.compiled import (
    LEVELS,
    STEPS,
    STRICT,
    Arrays,
    Built,
    build,
    exact,
    off,
    templates_are_compiled_once,  # noqa: F401
    written,
)
from tests.export.exported import CASES
from tests.export.test_c_operators import GRAPHS, network, node, saved
from tests.firmware.tools import needs

QUICK = ("tensor trains", "shared", "sequences")
NAMES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES if not CASES[name].partial
]
CORTEX = ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")


def artefact(name: str, dtype: str) -> Path:
    return zoo.exported(name, ".onnx", 1).path if dtype == "float32" else test_int8.exported(name, ".onnx").path


@functools.cache
def built(name: str, dtype: str) -> Built:
    return build(artefact(name, dtype), f"{name.replace(' ', '_')}_{dtype}", Path(zoo.folder().name))


@needs("gcc")
class TestModels:
    @pytest.mark.parametrize("name", NAMES)
    def test_float32_says_what_the_artefact_says(self, name: str) -> None:
        made = built(name, "float32")
        for inputs in made.samples(5):
            found, expected = made.run(inputs), local.run(made.path, inputs, 1)
            for output, values in expected.items():
                # Sums of float32 in another order.
                np.testing.assert_allclose(found[output], values, rtol=1e-4, atol=1e-4 * np.abs(values).max())

    @pytest.mark.parametrize("name", NAMES)
    def test_int8_says_what_the_artefact_says(self, name: str) -> None:
        made = built(name, "int8")
        assert any(port.scale is not None for port in made.source.inputs)
        assert off(made) <= STEPS + 0.01

    @pytest.mark.parametrize("name", NAMES)
    def test_the_integer_graph_says_what_the_graph_of_pairs_says(self, name: str) -> None:
        path = artefact(name, "int8")
        integer = qoperator.integer(onnx.load(path))
        kinds = [node.op_type for node in integer.model.graph.node]
        assert not {"MatMul", "Gemm", "Conv"} & set(kinds)
        for inputs in built(name, "int8").samples(5):
            given = {
                port.name: port.stored(inputs[port.name]).astype(port.dtype)
                for port in built(name, "int8").source.inputs
            }
            expected, found = exact(path.read_bytes(), inputs), exact(integer.model.SerializeToString(), given)
            for output, values in expected.items():
                scale, zero = integer.codes.get(output, (1e-4, 0))
                real = (found[output].astype(np.float64) - zero) * scale if output in integer.codes else found[output]
                assert np.abs(real - values).max() <= (STEPS + 0.01) * scale

    @pytest.mark.slow
    @pytest.mark.parametrize("dtype", ["float32", "int8"])
    @pytest.mark.parametrize("name", NAMES)
    def test_no_compiler_warns_at_any_level(self, name: str, dtype: str, tmp_path: Path) -> None:
        """At -O3 functions are put into their callers, and the compiler sees with which numbers they are called."""
        path = written(built(name, dtype).source, tmp_path)
        chips = (("gcc",), ("clang",), ("arm-none-eabi-gcc", *CORTEX))
        for compiler in (chip for chip in chips if shutil.which(chip[0])):
            for level in LEVELS:
                command = [*compiler, *STRICT, level, f"-I{tmp_path}", "-c", str(path), "-o", str(tmp_path / "o")]
                made = subprocess.run(command, capture_output=True, text=True)
                assert (made.returncode, made.stderr) == (0, ""), (compiler[0], level)

    @pytest.mark.parametrize("dtype", ["float32", "int8"])
    def test_weights_are_in_flash_and_ram_is_the_workspace(self, dtype: str, tmp_path: Path) -> None:
        source = built("tensor trains", dtype).source
        sizes = sections(object_of(source, tmp_path, "gcc", *STRICT))
        assert sizes.get(".data", 0) == 0
        assert source.workspace_bytes <= sizes[".bss"] < source.workspace_bytes + 64
        assert sum(size for name, size in sizes.items() if name.startswith(".rodata")) >= source.weight_bytes * 0.9

    @pytest.mark.parametrize("dtype", ["float32", "int8"])
    def test_uses_no_heap_and_shows_one_symbol(self, dtype: str, tmp_path: Path) -> None:
        source = built("tensor trains", dtype).source
        made = object_of(source, tmp_path, "gcc", *STRICT)
        listed = subprocess.run(["nm", "-g", str(made)], check=True, capture_output=True, text=True).stdout
        symbols = {line.split()[-1]: line.split()[-2] for line in listed.splitlines()}
        assert {name for name, kind in symbols.items() if kind != "U"} == {f"{source.name}_run"}
        mathematics = {"expf", "tanhf", "erff", "fmaxf", "fminf", "lrintf", "nearbyintf", "memcpy", "memset"}
        assert {name for name, kind in symbols.items() if kind == "U"} <= mathematics | {"_GLOBAL_OFFSET_TABLE_"}

    def test_two_models_live_in_one_program(self, tmp_path: Path) -> None:
        both = [built("shared", "int8"), built("tensor trains", "float32")]
        program = main([made.source for made in both])
        (tmp_path / "main.c").write_text(program)
        files = [str(written(made.source, tmp_path)) for made in both]
        command = [
            "gcc",
            *STRICT,
            f"-I{tmp_path}",
            str(tmp_path / "main.c"),
            *files,
            "-lm",
            "-o",
            str(tmp_path / "main"),
        ]
        subprocess.run(command, check=True)
        printed = subprocess.run([str(tmp_path / "main")], check=True, capture_output=True, text=True).stdout.split()
        expected = []
        for made in both:
            zeros: Arrays = {port.name: np.zeros(port.shape, np.float32) for port in made.source.inputs}
            zero_codes = for_zeros(made, zeros)
            for port in made.source.outputs:
                expected += port.stored(zero_codes[port.name]).ravel().tolist()
        np.testing.assert_allclose([float(word) for word in printed], expected, rtol=1e-6)

    @needs("g++")
    def test_the_header_is_cplusplus_too(self, tmp_path: Path) -> None:
        source = built("named", "float32").source
        written(source, tmp_path)
        (tmp_path / "use.cpp").write_text(
            f'#include "{source.name}.h"\n#include "{source.name}.h"\nint main() {{ return 0; }}\n'
        )
        subprocess.run(["g++", "-std=c++11", *STRICT[1:], "-c", "use.cpp", "-o", "use.o"], check=True, cwd=tmp_path)

    @needs("arm-none-eabi-gcc")
    @pytest.mark.parametrize("dtype", ["float32", "int8"])
    def test_compiles_for_a_microcontroller(self, dtype: str, tmp_path: Path) -> None:
        object_of(built("tensor trains", dtype).source, tmp_path, "arm-none-eabi-gcc", *CORTEX, *STRICT)


def for_zeros(made: Built, zeros: Arrays) -> Arrays:
    """Outputs for inputs that are zero as stored."""
    stored = {
        port.name: zeros[port.name] if port.scale is None else zeros[port.name] - port.zero_point * port.scale
        for port in made.source.inputs
    }
    return made.run(stored)


def object_of(source: CSource, folder: Path, *command: str) -> Path:
    path = written(source, folder)
    made = path.with_suffix(".o")
    subprocess.run([*command, f"-I{folder}", "-c", str(path), "-o", str(made)], check=True)
    return made


def sections(path: Path) -> dict[str, int]:
    """Bytes of each section of an object."""
    text = subprocess.run(["size", "-A", str(path)], check=True, capture_output=True, text=True).stdout
    return {found[1]: int(found[2]) for found in re.finditer(r"^(\.\S+)\s+(\d+)", text, re.MULTILINE)}


def main(sources: list[CSource]) -> str:
    """A program that runs models on zeros, prints their outputs, and compiles only if the macros are right."""
    lines = ["#include <stdio.h>", *(f'#include "{source.name}.h"' for source in sources)]
    body = []
    for number, source in enumerate(sources):
        macro, names = source.name.upper(), []
        assert f'#define {macro}_VERSION "1.2"' in source.header
        for port in (*source.inputs, *source.outputs):
            spelled = f"{macro}_{port.identifier.upper()}"
            names.append(f"m{number}_{port.identifier}")
            lines.append(f"static {port.c_type} {names[-1]}[{spelled}_SIZE];")
            shape = f"const int {names[-1]}_shape[{spelled}_RANK] = {spelled}_SHAPE;"
            lines.append(f"typedef char {names[-1]}_ok[{spelled}_BYTES == sizeof {names[-1]} ? 1 : -1];")
            body.append(f"{shape} if ({names[-1]}_shape[0] != {port.shape[0]}) return 1;")
            if port.scale is not None:
                body.append(
                    f"if ({spelled}_SCALE != {port.scale!r}f || {spelled}_ZERO_POINT != {port.zero_point}) return 2;"
                )
        body.append(f"{source.name}_run({', '.join(names)});")
        for port in source.outputs:
            name = f"m{number}_{port.identifier}"
            body.append(f'for (int i = 0; i < {port.size}; ++i) printf("%.9g\\n", (double){name}[i]);')
    return "\n".join([*lines, "int main(void) {", *body, "return 0; }", ""])


def test_the_text_depends_on_the_artefact_alone(tmp_path: Path) -> None:
    path = artefact("shared", "int8")
    shutil.copy(path, tmp_path / "elsewhere.onnx")
    one, other = c.generate(path, "net", "1.2"), c.generate(tmp_path / "elsewhere.onnx", "net", "1.2")
    assert one == other
    assert str(tmp_path) not in one.code + one.header


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return saved(GRAPHS["scaled weights"](), tmp_path / "small.onnx")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("EMX_NODE_FN void node0", "EMX_NODE_FN int node0"),
        (" * OpType: Gemm", " * Operator: Gemm"),
        ("float acc = 0.0f;", "float acc = 0.0f; free(output);"),
        ("float acc = 0.0f;", "float acc = 0.0f * EMX_SCALE;"),
        ("#include <stdint.h>", "#include <stdint.h>\n#include <pthread.h>"),
        ("_Bool model_load(", "int counter;\n_Bool model_load("),
        ("void model(const float ", "void model(const half "),
        ("void model(const float t0[restrict 2][4]", "void model(const float t0[restrict 2][3]"),
        ("void model(", "void other("),
        ("    node0_", "    if (t3) node0_"),
        ("(t0, weight", "(t0, height"),
        ("    node0_gemm0(", "    node1_gemm0("),
        ("extern const float", "extern float"),
        ("\n}\n\nvoid model", "\n\nvoid model"),
    ],
)
def test_c_of_another_form_is_refused(small: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    from emx_onnx_cgen.compiler import Compiler

    real, texts = Compiler.compile, []

    def altered(self: Any, model: Any) -> str:
        texts.append(real(self, model))
        return texts[0].replace(old, new)

    monkeypatch.setattr(Compiler, "compile", altered)
    with pytest.raises(ToolError, match="emx-onnx-cgen") as caught:
        c.generate(small, "net", "1.2")
    assert old in texts[0] and "--format tflm" in caught.value.cure


def test_c_of_another_version_is_cured_by_the_one_that_is_known(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from emx_onnx_cgen.compiler import Compiler

    real = Compiler.compile
    monkeypatch.setattr(
        Compiler, "compile", lambda self, model: real(self, model).replace("void model(", "void other(")
    )
    monkeypatch.setattr(c, "TESTED", "1.2.3")
    with pytest.raises(ToolError, match="emx-onnx-cgen") as caught:
        c.generate(small, "net", "1.2")
    assert "pip install emx-onnx-cgen==1.2.3" in caught.value.cure


@pytest.mark.parametrize("name", ["two words", "3d", "", "_net", "int", "né", "a-b"])
def test_names_that_c_does_not_take(small: Path, name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(name))):
        c.generate(small, name, "1.2")


def test_no_compiler_to_c(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "emx_onnx_cgen"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "emx_onnx_cgen", None)
    c._compiler.cache_clear()
    with pytest.raises(ToolError, match="not installed") as caught:
        c.generate(small, "net", "1.2")
    assert "edgett[firmware]" in caught.value.cure


def test_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "noise.onnx").write_bytes(b"noise")
    with pytest.raises(ToolError, match=r"noise\.onnx"):
        c.generate(tmp_path / "noise.onnx", "net", "1.2")


def test_an_operator_that_has_no_c(tmp_path: Path) -> None:
    model = network([node("Strange", ["x"], ["y"], domain="elsewhere")], (2, 4), (2, 4))
    model.opset_import.append(helper.make_opsetid("elsewhere", 1))
    with pytest.raises(ToolError, match="Strange"):
        c.generate(saved(model, tmp_path / "strange.onnx"), "net", "1.2")


def test_options_of_other_programs_are_not_advised(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from emx_onnx_cgen.compiler import Compiler

    def refuse(self: Any, model: Any) -> str:
        raise ValueError("It requires static shapes. Hint: pin dimensions with --input-dim (e.g. --input-dim batch=1).")

    monkeypatch.setattr(Compiler, "compile", refuse)
    with pytest.raises(ToolError, match="requires static shapes") as caught:
        c.generate(small, "net", "1.2")
    assert "--input-dim" not in str(caught.value)
