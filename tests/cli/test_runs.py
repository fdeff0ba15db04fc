"""`edgett export` and `edgett check`: a finished run again."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edgett.run.directory import Run
from tests.conftest import Answer, Finished
from tests.firmware.tools import needs

Call = Callable[..., Answer]


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.path, tmp_path / "copy"))


@pytest.mark.slow
def test_export_writes_the_same_bytes_as_the_run(edgett: Call, copy: Path, finished: Finished) -> None:
    pick = finished.document["picks"]["recommended"]
    number = pick["solution"]

    answer = edgett(
        "export", copy, "--solution", number, "--format", "tflite", "--format", "keras", "--out", "there", "--json"
    )

    assert answer.code == 0, answer.err
    assert answer.document["written"] == [f"solution-{number}.tflite", f"solution-{number}.keras"]
    assert answer.document["ok"] is True
    for suffix in ("tflite", "keras"):
        content = Path(f"there/solution-{number}.{suffix}").read_bytes()
        assert hashlib.sha256(content).hexdigest() == pick["artifacts"][suffix]["sha256"]


def test_export_takes_the_recommended_and_another_batch(edgett: Call, copy: Path, finished: Finished) -> None:
    number = finished.document["picks"]["recommended"]["solution"]

    answer = edgett("export", copy, "--format", "onnx", "--batch", "4")

    assert answer.code == 0, answer.err
    assert (copy / "exports" / f"solution-{number}.onnx").is_file()
    assert f"exports/solution-{number}.onnx" in answer.err.replace("\n", "")
    assert "Cross-check" in answer.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("copy", "--solution", "99999"), "no solution 99999"),
        (("copy", "--format", "pdf"), "pdf"),
        (("nowhere",), "there is no run in 'nowhere'"),
        (("copy", "--batch", "0"), "--batch"),
    ],
)
def test_export_refuses(edgett: Call, copy: Path, arguments: tuple[str, ...], told: str) -> None:
    answer = edgett("export", *arguments, "--json")

    assert answer.code == 2
    assert told in answer.document["error"]["message"]


def test_export_of_a_trial_that_failed_says_why(edgett: Call, copy: Path, finished: Finished) -> None:
    number = finished.document["trials"][0]["solution"]
    with closing(Run.resume(copy)) as run:
        failed = replace(run.trials()[number], drop=math.inf, failure="its loss became nan in epoch 1")
        run.record(failed, b"")

    answer = edgett("export", copy, "--solution", number)

    assert answer.code == 2
    assert f"solution {number} has no weights, for its trial failed: its loss became nan in epoch 1." in answer.err
    assert "--solution" in answer.err


def test_a_run_that_is_not_finished_is_refused_with_the_way_on(edgett: Call, copy: Path) -> None:
    asked = json.loads((copy / "run.json").read_text())
    del asked["outcome"]
    (copy / "run.json").write_text(json.dumps(asked))

    for command in ("export", "check"):
        answer = edgett(command, "copy")
        assert answer.code == 2
        assert "edgett compress --out copy --resume" in answer.err


def test_check_comes_to_the_same(edgett: Call, copy: Path, finished: Finished) -> None:
    (copy / "check.json").unlink()

    answer = edgett("check", copy, "--json")

    assert answer.code == 0, answer.err
    assert answer.document == finished.document["check"]
    assert json.loads((copy / "check.json").read_text()) == answer.document


@pytest.mark.parametrize("suffix", ["tflite", "onnx", "keras"])
def test_check_finds_a_tampered_artefact(edgett: Call, copy: Path, suffix: str) -> None:
    path = copy / "artifacts" / f"recommended.{suffix}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    answer = edgett("check", "copy", "--json")

    assert answer.code == 5
    assert f"copy/artifacts/recommended.{suffix} is not the file" in answer.document["error"]["message"]


@pytest.mark.slow
def test_check_finds_what_differs_from_the_prediction(
    edgett: Call, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgett.device import local

    run = local.run
    monkeypatch.setattr(local, "run", lambda *a: {name: array + 1 for name, array in run(*a).items()})

    answer = edgett("check", copy)

    assert answer.code == 5
    assert "differs" in answer.out
    assert "not what was predicted: artifacts/baseline.tflite" in answer.err


def test_check_misses_an_artefact(edgett: Call, copy: Path) -> None:
    (copy / "artifacts" / "baseline.onnx").unlink()

    answer = edgett("check", "copy")

    assert answer.code == 5
    assert "copy/artifacts/baseline.onnx is missing" in answer.err


def test_report_leaves_the_files_of_the_run_alone(edgett: Call, copy: Path) -> None:
    before = (copy / "run.json").read_bytes()
    Path("link").symlink_to(copy / "run.json")

    for out in ("copy/run.json", "copy/artifacts/../run.json", "link"):
        answer = edgett("report", "copy", "--format", "md", "--out", out)
        assert answer.code == 2
        assert f"--out {out} is a file of the run itself" in answer.err and "--out copy/report.md" in answer.err
    assert (copy / "run.json").read_bytes() == before
    for out in ("copy/report.html", "copy/report.html", "copy/report.md", "copy/report.md"):
        assert edgett("report", "copy", "--format", "md", "--out", out).code == 0


class TestVerilog:
    """What its testbenches come to is in tests/export/verilog."""

    @needs("iverilog", "make")
    def test_export_writes_units_that_rebuild_the_weights(self, edgett: Call, copy: Path, finished: Finished) -> None:
        pick = finished.document["picks"]["recommended"]

        answer = edgett("export", copy, "--format", "verilog", "--json")

        assert answer.code == 0, answer.err
        assert [unit["layer"] for unit in answer.document["units"]] == list(pick["edits"])
        assert answer.document["artifacts"] == {}
        folder = copy / "exports" / f"solution-{pick['solution']}_verilog"
        assert {str(folder / name) for name in ("Makefile", "README.md", "edgett_stage.v")} <= {
            str(copy / "exports" / name) for name in answer.document["written"]
        }
        done = subprocess.run(["make", "-s", "test"], cwd=folder, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines().count("PASS") == len(pick["edits"])

    def test_beside_files_and_again(self, edgett: Call, copy: Path) -> None:
        for _ in range(2):
            answer = edgett("export", copy, "--format", "verilog", "--format", "onnx")
            assert answer.code == 0, answer.err
            assert "Cross-check" in answer.out and "Units that rebuild weights" in answer.out

    def test_the_dense_model_has_none(self, edgett: Call, copy: Path) -> None:
        answer = edgett("export", copy, "--format", "verilog", "--solution", "baseline")
        assert answer.code == 2 and "baseline has no layer in a form that hardware rebuilds." in answer.err
        assert answer.err.splitlines()[-1] == "Name another solution with --solution."
        assert not (copy / "exports").exists()
