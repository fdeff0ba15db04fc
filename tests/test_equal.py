"""The tool that compares the bytes of two versions: planted differences, and programs that play a version."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer

from tests.conftest import Finished

TOOL = Path(__file__).parents[1] / "tools" / "equal.py"

PLAYED = """#!{python}
# A Python interpreter that has an edgett, as far as the tool can tell.
import json, os, sys
from pathlib import Path

options = dict(zip(sys.argv[5::1], sys.argv[6::1]))
with open("{log}", "a") as log:
    led = [os.environ.get(name) for name in ("EDGETT_CACHE_DIR", "PYTHONPATH", "PYTHONHASHSEED")]
    log.write(json.dumps([sys.argv[1:], *led]) + "\\n")
if sys.argv[2] == "-c":
    print(json.dumps({{"home": "{home}", "versions": {{"python": "3", "numpy": "{numpy}"}}}}))
elif sys.argv[4] == "compress":
    if "{fails}":
        sys.exit("error: {fails}")
    cache = Path(os.environ["EDGETT_CACHE_DIR"], "clock-{key}.npz")
    cache.exists() or cache.write_text("trained")
    artifacts = Path(options["--out"], "artifacts")
    artifacts.mkdir(parents=True)
    for name in {artifacts}:
        (artifacts / name).write_text(name + options["--dtype"] * (name in {changed}))
    pick = {{"solution": 7}}
    print(json.dumps({{"picks": {{"recommended": pick, "lowest_memory": pick, "lowest_flops": {{"solution": -1}}}}}}))
    sys.exit({code})
else:
    Path(options["--out"]).mkdir(exist_ok=True)
    for end in (".c", ".h"):
        Path(options["--out"], options["--solution"] + end).write_text("int x;")
    print("{{}}")
"""


@pytest.fixture(scope="module")
def equal() -> ModuleType:
    spec = importlib.util.spec_from_file_location("equal", TOOL)
    assert spec is not None and spec.loader is not None
    module = sys.modules["equal"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def played(folder: Path, name: str, **differences: object) -> Path:
    """A program that answers as the interpreter of a version would, and writes down what it was called with."""
    path = folder / name
    told = {"python": sys.executable, "log": f"{path}.log", "home": f"/{name}/edgett", "numpy": "2", "key": "0"}
    told |= {"artifacts": ["baseline.tflite", "recommended.onnx", "recommended.keras"], "changed": []}
    path.write_text(PLAYED.format(**{**told, "code": 0, "fails": "", **differences}))
    path.chmod(0o755)
    return path


def calls(path: Path) -> list[list[str]]:
    """The command lines of a version's edgett, in order."""
    found = [json.loads(line)[0] for line in Path(f"{path}.log").read_text().splitlines()]
    return [words[3:] for words in found if words[:3] == ["-P", "-m", "edgett"]]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(TOOL), *map(str, arguments)]
    # Elsewhere than in this repository's environment, and wide enough for a whole sentence.
    environment = {**os.environ, "PYTHONPATH": "/led/astray", "EDGETT_CACHE_DIR": "/somebodys", "COLUMNS": "300"}
    return subprocess.run(line, capture_output=True, text=True, env=environment)


def test_what_differs_and_what_is_missing_on_either_side(equal: ModuleType) -> None:
    rows = equal.compared({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "x", "d": "4"})
    assert [(row.artefact, row.verdict) for row in rows] == [
        ("a", "equal"),
        ("b", "DIFFERS"),
        ("c", "MISSING"),
        ("d", "MISSING"),
    ]
    assert [str(row) for row in rows[1:3]] == ["| b | 2 | x | DIFFERS |", "| c | 3 | - | MISSING |"]
    assert equal.wrong(rows) == "3 of 4 differ or are missing, first: b."
    assert equal.wrong(rows[:1]) is None


def test_nothing_compared_is_not_equal(equal: ModuleType) -> None:
    assert equal.wrong(equal.compared({}, {})) == "Nothing was written, so nothing was compared."


def test_default_options_unless_it_is_to_be_quick(equal: ModuleType, tmp_path: Path) -> None:
    data = tmp_path / "mnist.npz"
    assert [(work.example, work.dtype, work.options) for work in equal.works(None, False)] == [
        ("clock", "float32", ()),
        ("clock", "int8", ()),
    ]
    of_lenet = [work for work in equal.works(data, True) if work.example == "lenet300"]
    assert [(work.dtype, work.options) for work in of_lenet] == [
        (dtype, (*equal.QUICK, "--data", str(data))) for dtype in ("float32", "int8")
    ]


def test_equal_versions(tmp_path: Path) -> None:
    before, after = (played(tmp_path, name) for name in ("before", "after"))
    done = run(before, after, "--keep", tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if "float32" in line]
    assert [row[0] for row in rows] == [
        f"| clock float32 {name}"
        for name in ("exit code", "baseline.tflite", "recommended.onnx", "7.c", "7.h", "baseline.c", "baseline.h")
    ]
    assert all(row[1] == row[2] and len(row[1]) == 64 and row[3] == "equal |" for row in rows[1:])
    assert done.stdout.splitlines()[-1] == "All 14 are equal."
    assert "after: clock int8: C exported after" in done.stderr and "the baseline's key is the same" in done.stderr
    assert (tmp_path / "kept" / "after" / "clock-int8" / "c" / "7.c").is_file()
    for path in (before, after):
        # A solution that is picked twice, or is the baseline, is exported once.
        names = [(words[0], words[3 if words[0] == "export" else 1]) for words in calls(path)]
        assert names == 2 * [("compress", "example:clock"), ("export", "baseline"), ("export", "7")]
        surroundings = [json.loads(line)[1:] for line in Path(f"{path}.log").read_text().splitlines()]
        cache = str(tmp_path / "kept" / path.name / "cache")
        assert surroundings == [[None, None, "0"], *[[cache, None, "0"]] * 6]


def test_a_difference_is_named(tmp_path: Path) -> None:
    done = run(played(tmp_path, "before"), played(tmp_path, "after", changed=["recommended.onnx"], numpy="3"))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "2 of 14 differ or are missing, first: clock float32 recommended.onnx."
    assert "numpy is 2 before and 3 after: that alone may change bytes" in done.stderr


def test_a_file_less_and_another_exit_code_are_differences(tmp_path: Path) -> None:
    done = run(played(tmp_path, "before"), played(tmp_path, "after", artifacts=["baseline.tflite"], code=5, key="1"))
    assert done.returncode == 1
    told = {line.split(" | ")[0]: line.split(" | ")[3] for line in done.stdout.splitlines() if "int8" in line}
    assert told["| clock int8 exit code"] == "DIFFERS |" and told["| clock int8 recommended.onnx"] == "MISSING |"
    assert "each trained its own baseline" in done.stderr


@pytest.mark.slow
def test_what_keeps_them_from_being_compared(tmp_path: Path) -> None:
    good, bad = played(tmp_path, "good"), played(tmp_path, "bad", fails="no disk")
    bare = tmp_path / "bare"
    bare.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'edgett'\" >&2\nexit 1\n")
    bare.chmod(0o755)
    for pair, told in {
        (good, good): "both interpreters have the edgett in /good/edgett",
        (bare, good): f"{bare} has no edgett: ModuleNotFoundError",
        (good, tmp_path / "gone"): "cannot be started: No such file",
        (good, bad): "exit code 1 of edgett compress example:clock",
        (good, bad, "--data", tmp_path / "none.npz"): "does not exist",
        (good, bad, "--keep", tmp_path): "is not an empty folder",
    }.items():
        done = run(*pair)
        assert done.returncode == 2 and told in done.stderr, (pair, done.stderr)
        assert done.stdout == ""


def test_its_options_are_understood(equal: ModuleType) -> None:
    """What it asks of `edgett` is what there is."""
    from edgett.cli.app import app

    compress, export = (typer.main.get_command(app).commands[name] for name in ("compress", "export"))  # type: ignore
    asked = ["example:clock", "--target", equal.TARGET, "--dtype", "int8", "--out", "run", *equal.QUICK, "--json"]
    assert compress.make_context("compress", [*asked, "--quiet"]).params["limit"] is not None
    asked = ["run", "--solution", "baseline", "--format", "c", "--out", "c", "--json", "--quiet"]
    assert str(export.make_context("export", asked).params["out"]) == "c"


@pytest.mark.slow
def test_a_run_tells_its_picks_as_it_reads_them(finished: Finished) -> None:
    assert {type(pick["solution"]) for pick in finished.document["picks"].values()} == {int}
    assert {path.suffix for path in (finished.path / "artifacts").iterdir()} >= {".tflite", ".onnx"}
