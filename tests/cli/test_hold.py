"""`--hold factors`: dense layers in C whose weights are rebuilt, told with both memories, and held to the budgets."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgett.cli import run
from tests.conftest import EASY, Answer, Finished, Tiny
from tests.firmware.tools import needs

Call = Callable[..., Answer]


@pytest.fixture(scope="module")
def quantised(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in int8 for a target that runs C; do not write into it."""
    path = tmp_path_factory.mktemp("hold") / "run"
    given = [tiny.model, "--data", tiny.data, "--target", "cortex-m4", *EASY, "--epochs", "1", "--limit", "2"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        code = run(["compress", *map(str, given), "--dtype", "int8", "--jobs", "0", "--out", str(path)])
    assert code == 0, told.getvalue()
    return path


def held(document: dict[str, Any]) -> dict[str, Any]:
    """Both memories of a document."""
    found: dict[str, Any] = document["held"]
    assert found["flash_bytes"]["predicted"] == found["flash_bytes"]["found"]
    assert found["ram_bytes"]["found"] <= found["ram_bytes"]["predicted"]
    return found


@pytest.mark.slow
def test_export_writes_c_with_factors(edgett: Call, quantised: Path) -> None:
    factors = edgett("export", quantised, "--format", "c", "--hold", "factors", "--out", "there", "--json")
    assert factors.code == 0, factors.err
    pick = json.loads((quantised / "run.json").read_text())["outcome"]["picks"]["recommended"]
    name = f"solution_{pick['solution']}_factors"
    assert factors.document["written"] == [f"{name}.h", f"{name}.c"]
    found, header = held(factors.document), Path(f"there/{name}.h").read_text()
    assert {row["name"] for row in found["layers"]} == set(pick["edits"])
    assert all(row["stored"] < row["flash_bytes"] and row["weights"] < row["ram_bytes"] for row in found["layers"])
    told = dict(re.findall(r"_(WEIGHT|WORKSPACE)_BYTES (\d+)", header))
    assert int(told["WEIGHT"]) == found["flash_bytes"]["found"]
    assert int(told["WORKSPACE"]) > max(row["weights"] for row in found["layers"])
    text = edgett("export", quantised, "--format", "c", "--hold", "factors", "--out", "there").out
    assert "Weights rebuilt from int8 factors" in text


@needs("gcc", "make")
@pytest.mark.slow
def test_a_package_passes_its_self_test_and_tells_both_memories(edgett: Call, quantised: Path, tmp_path: Path) -> None:
    answer = edgett("firmware", "pack", quantised, "--out", "place", "--hold", "factors", "--json")
    assert answer.code == 0, answer.err
    found = held(answer.document)
    assert answer.document["sizes"]["weight_bytes"] == found["flash_bytes"]["found"]
    assert answer.document["sizes"]["ram_bytes"] == found["ram_bytes"]["found"]
    budgets = {item["name"]: item["value"] for item in answer.document["run"]["budgets"]}
    assert budgets["peak_activation_bytes"] == found["ram_bytes"]["predicted"]
    assert budgets["accuracy_drop_pp"] is None  # nobody has measured it
    (code,), (test,) = Path("place/src").glob("*.c"), Path("place/test").glob("*.c")
    main = tmp_path / "main.c"
    name = answer.document["name"]
    headers = f'#include "{name}.h"\n#include "{name}_selftest.h"\n'
    main.write_text(f"{headers}int main(void) {{ return {name}_selftest({name}_run) != 0; }}\n")
    command = ["gcc", "-std=c99", "-Iplace/include", code, test, main, "-lm", "-o", tmp_path / "test"]
    subprocess.run(command, check=True)
    subprocess.run([tmp_path / "test"], check=True)
    assert "_rebuild(" in code.read_text()


@pytest.mark.slow
def test_a_budget_that_the_weights_in_ram_break_is_told(edgett: Call, quantised: Path, tmp_path: Path) -> None:
    answer = edgett("export", quantised, "--format", "c", "--hold", "factors", "--json")
    ram = held(answer.document)["ram_bytes"]["found"]
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", quantised, copy], check=True)
    content = json.loads((copy / "run.json").read_text())
    for item in content["outcome"]["constraints"]:
        if item["name"] == "peak_activation_bytes":
            item["limit"] = ram - 1
    (copy / "run.json").write_text(json.dumps(content))
    answer = edgett("firmware", "pack", copy, "--out", "place", "--hold", "factors")
    assert answer.code == 4 and not Path("place").exists()
    assert "1 more than peak_activation_bytes allows" in answer.err


@pytest.mark.slow
@pytest.mark.parametrize("command", [("export", "--format", "tflm"), ("firmware", "pack", "--format", "tflm")])
def test_for_c_alone(edgett: Call, quantised: Path, command: tuple[str, ...]) -> None:
    words = [*command, "--out", "place", "--hold", "factors"]
    words.insert(command.index("--format"), str(quantised))
    answer = edgett(*words)
    assert answer.code == 2 and "--hold factors is for C" in answer.err
    assert answer.err.splitlines()[-1] == "Take --format c, or leave it out."


def test_a_run_in_float32_has_none(edgett: Call, finished: Finished) -> None:
    for command in (("export", finished.path, "--format", "c"), ("firmware", "pack", finished.path)):
        answer = edgett(*command, "--out", "place", "--hold", "factors")
        assert answer.code == 2 and "--hold factors holds int8 weights" in answer.err
        assert answer.err.splitlines()[-1] == "Make a run with --dtype int8, or leave it out."


def test_files_have_none(edgett: Call, finished: Finished) -> None:
    answer = edgett("export", finished.path, "--hold", "factors")
    assert answer.code == 2 and "--hold factors is for C" in answer.err


@pytest.mark.slow
def test_the_dense_model_has_none(edgett: Call, quantised: Path) -> None:
    words = ("--solution", "baseline", "--out", "place", "--hold", "factors")
    answer = edgett("export", quantised, "--format", "c", *words)
    assert answer.code == 2 and "baseline has no layer in a form." in answer.err
