"""`edgett firmware`: packages of a real run, whole, edited, stale; and what a build makes of them."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgett.cli import run
from edgett.device import local
from edgett.firmware.package import CMAKE
from edgett.run.directory import Run
from edgett.workflow import pack
from tests.conftest import QUICK, Answer, Finished, Tiny
from tests.firmware.tools import needs

Call = Callable[..., Answer]


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def packed(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages") / "tiny"
    pack.pack(finished.path, folder, pack.PackRequest())
    return folder


@pytest.fixture
def package(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "package"))


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


class TestPack:
    def test_holds_what_a_build_needs(self, packed: Path) -> None:
        assert set(files(packed)) == {
            "CMakeLists.txt", "edgett.cmake", "edgett_tinyConfig.cmake", "include/tiny.h", "include/tiny_selftest.h",
            "manifest.json", "src/tiny.c", "test/tiny_selftest.c", "tiny.mk",
        }  # fmt: skip

    @needs("gcc")
    def test_every_source_compiles_with_the_include_folder_alone(self, packed: Path, tmp_path: Path) -> None:
        for source in packed.rglob("*.c"):
            command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-I", packed / "include", "-c", source]
            subprocess.run([*command, "-o", tmp_path / f"{source.stem}.o"], check=True)

    def test_manifest_tells_where_it_comes_from_and_what_it_takes(self, packed: Path, finished: Finished) -> None:
        found, pick = manifest(packed), finished.document["picks"]["recommended"]
        assert found["run"]["solution"] == pick["solution"] and found["run"]["edits"] == pick["edits"]
        assert found["artefact"] == {"suffix": ".onnx", "sha256": pick["artifacts"]["onnx"]["sha256"]}
        asked = json.loads((finished.path / "run.json").read_text())
        assert found["run"]["digests"] == {key: asked["digests"][key] for key in ("model", "data")}
        assert [item["name"] for item in found["run"]["budgets"]] == [
            item["name"] for item in finished.document["constraints"]
        ]
        assert found["sizes"]["weight_bytes"] == 4 * pick["params"]
        assert found["licence"] == {"model": "NOASSERTION", "generator": "emx-onnx-cgen (Apache-2.0)"}
        assert str(finished.path) not in json.dumps(found)

    def test_same_run_gives_the_same_bytes(self, edgett: Call, packed: Path, finished: Finished) -> None:
        assert edgett("firmware", "pack", finished.path, "--out", "again", "--quiet").code == 0
        assert files(Path("again")) == files(packed)

    def test_what_comes_out_as_it_was_is_not_touched(self, edgett: Call, package: Path, finished: Finished) -> None:
        (package / "build").mkdir()
        (package / "build" / "mine.o").write_bytes(b"mine")
        (package / "src" / "tiny.c").write_text("edited")
        before = {path: path.stat().st_mtime_ns for path in package.rglob("*") if path.is_file()}
        assert edgett("firmware", "pack", finished.path, "--out", package).code == 0
        after = {path: path.stat().st_mtime_ns for path in package.rglob("*") if path.is_file()}
        assert {path for path, time in after.items() if before.get(path) != time} == {package / "src" / "tiny.c"}
        assert edgett("firmware", "check", package).code == 0

    @pytest.mark.slow
    def test_another_name_leaves_nothing_of_the_old_one(self, edgett: Call, package: Path, finished: Finished) -> None:
        answer = edgett("firmware", "pack", finished.path, "--out", package, "--name", "dial", "--license", "MIT")
        assert answer.code == 0 and "edgett::dial" in answer.out
        assert not [path for path in files(package) if "tiny" in path]
        assert manifest(package)["licence"]["model"] == "MIT"

    def test_expected_outputs_are_those_of_the_reference_runtime(
        self, packed: Path, finished: Finished, tiny: Tiny
    ) -> None:
        path = finished.path / finished.document["picks"]["recommended"]["artifacts"]["onnx"]["path"]
        with np.load(finished.path / "artifacts" / "samples.npz") as stored:
            given = dict(stored)
        (reference,) = local.run(path, given, 1).values()
        text = (packed / "test" / "tiny_selftest.c").read_text()
        rows = text.split("expected_", 1)[1].split("= {\n")[1].split("};")[0].splitlines()
        found = [[float(part.rstrip("f")) for part in row.strip(" {},").split(", ")] for row in rows]
        np.testing.assert_array_equal(np.float32(found), reference[: len(found)])
        assert len(found) == manifest(packed)["self_test"]["vectors"] == 16

    @pytest.mark.parametrize("name", ["3d", "a-b", "int", "class", "_x", "é", "", "math", "typeof", "unix"])
    def test_a_name_that_is_none_in_c_is_refused(self, edgett: Call, finished: Finished, name: str) -> None:
        answer = edgett("firmware", "pack", finished.path, "--out", "place", "--name", name)
        assert answer.code == 2 and f"{name!r} is no name in C" in answer.err
        assert re.fullmatch(r"Give one with --name, such as [A-Za-z]\w*\.", answer.err.splitlines()[-1])
        assert not Path("place").exists()

    def test_a_folder_of_something_else_is_left_alone(self, edgett: Call, finished: Finished, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "notes.txt").write_text("mine")
        for place in ("mine", finished.path):
            answer = edgett("firmware", "pack", finished.path, "--out", place)
            assert answer.code == 2 and "no package of edgett's" in answer.err
        assert files(tmp_path / "mine") == {"notes.txt": b"mine"}

    @pytest.mark.slow
    def test_one_that_was_cut_off_can_be_packed_again(
        self, edgett: Call, finished: Finished, packed: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "cut" / "src").mkdir(parents=True)  # as build tools make them beforehand
        assert edgett("firmware", "pack", finished.path, "--out", "cut").code == 0
        (tmp_path / "cut" / "src" / "tiny.c").unlink()
        (tmp_path / "cut" / "src" / ".part-x").write_text("half")
        assert edgett("firmware", "check", "cut").code == 5
        assert edgett("firmware", "pack", finished.path, "--out", "cut").code == 0
        assert files(tmp_path / "cut") == files(packed)

    @pytest.mark.slow
    def test_nothing_of_anybody_else_is_written_over(
        self, edgett: Call, package: Path, finished: Finished, tmp_path: Path
    ) -> None:
        (package / "dial.mk").write_text("mine")
        answer = edgett("firmware", "pack", finished.path, "--out", package, "--name", "dial")
        assert answer.code == 2 and "dial.mk is in the way" in answer.err
        assert (package / "dial.mk").read_text() == "mine"
        shutil.rmtree(package / "src")
        (tmp_path / "outside").mkdir()
        (package / "src").symlink_to(tmp_path / "outside")
        answer = edgett("firmware", "pack", finished.path, "--out", package)
        assert answer.code == 2 and "not in the package" in answer.err
        assert not list((tmp_path / "outside").iterdir())

    def test_a_run_that_somebody_else_has_open_can_be_packed(self, edgett: Call, finished: Finished) -> None:
        with contextlib.closing(Run.resume(finished.path)):
            assert edgett("firmware", "pack", finished.path, "--out", "place").code == 0
            assert edgett("firmware", "check", "place", "--run", finished.path).code == 0

    @pytest.mark.parametrize(
        "damage",
        [
            lambda outcome: outcome.update(picks=None),
            lambda outcome: outcome["check"].update(artifacts={}),
            lambda outcome: outcome.update(constraints=[{"name": 3}]),
            lambda outcome: outcome["target"].pop("dtype"),
            lambda outcome: outcome["picks"]["recommended"].update(artifacts=7),
        ],
    )
    def test_a_damaged_run_is_told(
        self, edgett: Call, finished: Finished, tmp_path: Path, damage: Callable[[dict[str, Any]], object]
    ) -> None:
        copy = Path(shutil.copytree(finished.path, tmp_path / "run"))
        content = json.loads((copy / "run.json").read_text())
        damage(content["outcome"])
        (copy / "run.json").write_text(json.dumps(content))
        answer = edgett("firmware", "pack", copy, "--out", "place")
        assert answer.code == 2 and "run.json is damaged" in answer.err and not Path("place").exists()

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off"])
    def test_damaged_samples_are_told(self, edgett: Call, finished: Finished, tmp_path: Path, content: bytes) -> None:
        copy = Path(shutil.copytree(finished.path, tmp_path / "run"))
        (copy / "artifacts" / "samples.npz").write_bytes(content)
        answer = edgett("firmware", "pack", copy, "--out", "place")
        assert answer.code == 2 and "samples.npz cannot be read" in answer.err

    def test_a_solution_that_is_not_there_is_told(self, edgett: Call, finished: Finished) -> None:
        answer = edgett("firmware", "pack", finished.path, "--out", "place", "--solution", 99999)
        assert answer.code == 2 and "no solution 99999" in answer.err and not Path("place").exists()
        assert "'run.json' lists them under \"trials\"." in answer.err

    @needs("gcc")
    @pytest.mark.slow
    def test_any_solution_can_be_packed(self, edgett: Call, finished: Finished) -> None:
        numbers = {trial["solution"] for trial in finished.document["trials"]}
        left = numbers - {pick["solution"] for pick in finished.document["picks"].values()}
        number = min(left or numbers)
        assert edgett("firmware", "pack", finished.path, "--out", "place", "--solution", number).code == 0
        assert manifest(Path("place"))["run"]["solution"] == number


def board(folder: Path, peak: str) -> str:
    """A profile of a target that runs C."""
    from edgett.target.places import shipped_folder

    text = (shipped_folder() / "cortex-m4.toml").read_text()
    text = text.replace('name = "cortex-m4"', 'name = "board"').replace('format = "tflite"', 'format = "c"')
    (folder / "board.toml").write_text(
        text.replace('peak_activation_bytes = "64 KiB"', f'peak_activation_bytes = "{peak}"')
    )
    return str(folder / "board.toml")


@pytest.fixture(scope="module")
def compiled(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run for a target that runs C, in int8."""
    folder = tmp_path_factory.mktemp("compiled")
    given = ["compress", str(tiny.model), "--data", str(tiny.data), "--target", board(folder, "64 KiB"), *QUICK]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert run([*given, "--max-drop", "100", "--dtype", "int8", "--out", str(folder / "run")]) == 0
    return folder / "run"


class TestTargetOfC:
    @pytest.mark.slow
    def test_the_peak_is_that_of_the_c(self, edgett: Call, compiled: Path) -> None:
        outcome = json.loads((compiled / "run.json").read_text())["outcome"]
        pick = outcome["picks"]["recommended"]
        (check,) = (outcome["check"]["artifacts"][pick["artifacts"]["onnx"]["path"]],)
        assert edgett("firmware", "pack", compiled, "--out", "place").code == 0
        sizes = manifest(Path("place"))["sizes"]
        assert sizes["ram_bytes"] <= pick["peak_activation_bytes"] == check["c_peak_bytes"]
        assert sizes["predicted_peak_bytes"] == check["c_peak_bytes"] <= 1.2 * sizes["ram_bytes"]

    @pytest.mark.slow
    def test_what_counts_is_the_constants_of_the_c(self, edgett: Call, compiled: Path) -> None:
        outcome = json.loads((compiled / "run.json").read_text())["outcome"]
        for number, pick in {pick["solution"]: pick for pick in outcome["picks"].values()}.items():
            assert edgett("firmware", "pack", compiled, "--solution", number, "--out", f"p{number}").code == 0
            assert pick["bytes"] == manifest(Path(f"p{number}"))["sizes"]["weight_bytes"]
            assert pick["bytes"] < pick["artifacts"]["onnx"]["bytes"]

    @pytest.mark.slow
    def test_a_model_that_no_order_fits_into_the_ram_says_how_much_is_missing(
        self, edgett: Call, tiny: Tiny, tmp_path: Path
    ) -> None:
        given = (tiny.model, "--data", tiny.data, "--target", board(tmp_path, "0.25 KiB"), *QUICK)
        answer = edgett("compress", *given, "--out", "run")
        assert answer.code == 4 and "peak_activation_bytes binds" in answer.err
        needed, limit, over = re.search(
            r"has ([\d,]+) where the limit is ([\d,]+): ([\d,]+) over it", answer.err
        ).groups()
        assert (int(limit), int(over)) == (256, int(needed) - 256)

    @pytest.mark.slow
    def test_sources_over_the_budget_are_not_written(self, edgett: Call, compiled: Path, tmp_path: Path) -> None:
        """A run whose budget was met by what an interpreter takes may not be by what C does."""
        copy = Path(shutil.copytree(compiled, tmp_path / "run"))
        content = json.loads((copy / "run.json").read_text())
        (limit,) = (item for item in content["outcome"]["constraints"] if item["name"] == "peak_activation_bytes")
        limit["limit"] = 100
        (copy / "run.json").write_text(json.dumps(content))
        answer = edgett("firmware", "pack", copy, "--out", "place")
        assert answer.code == 4 and "more than peak_activation_bytes allows (100)" in answer.err
        assert not Path("place").exists()


@pytest.mark.slow
@needs("gcc")
def test_a_package_for_litert_for_microcontrollers(edgett: Call, finished: Finished, tmp_path: Path) -> None:
    answer = edgett("firmware", "pack", finished.path, "--out", "place", "--format", "tflm")
    assert answer.code == 0
    pick = finished.document["picks"]["recommended"]["artifacts"]["tflite"]
    found = manifest(tmp_path / "place")
    assert found["artefact"] == {"suffix": ".tflite", "sha256": pick["sha256"]}
    sizes = found["sizes"]
    assert sizes["model_bytes"] == pick["bytes"]
    assert sizes["arena_head_bytes"] <= sizes["predicted_peak_bytes"] <= 1.2 * sizes["arena_head_bytes"]
    assert sizes["arena_bytes"] >= sizes["arena_head_bytes"] + sizes["arena_tail_bytes"]
    assert {"include/tiny.h", "include/tiny_ops.h", "src/tiny_model.c"} <= files(tmp_path / "place").keys()
    for source in (tmp_path / "place").rglob("*.c"):
        command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-I", tmp_path / "place" / "include", "-c", source]
        subprocess.run([*command, "-o", tmp_path / f"{source.stem}.o"], check=True)
    assert edgett("firmware", "pack", finished.path, "--out", "place").code == 0  # as C: nothing stale is left
    assert not [path for path in files(tmp_path / "place") if "model" in path or "ops" in path]


class TestCheck:
    def test_whole(self, edgett: Call, package: Path, finished: Finished) -> None:
        answer = edgett("firmware", "check", package, "--run", finished.path, "--json")
        assert answer.code == 0 and answer.document["ok"] and answer.document["name"] == "tiny"

    def test_edited_and_missing_are_named(self, edgett: Call, package: Path) -> None:
        with (package / "src" / "tiny.c").open("a") as source:
            source.write(" ")
        (package / "tiny.mk").unlink()
        (package / "mine.txt").write_text("mine")
        answer = edgett("firmware", "check", package, "--json")
        assert answer.code == 5
        found = answer.document
        assert (found["changed"], found["missing"], found["foreign"]) == (["src/tiny.c"], ["tiny.mk"], ["mine.txt"])
        assert "changed: src/tiny.c; missing: tiny.mk" in answer.err

    def test_stale(self, edgett: Call, package: Path, finished: Finished, tmp_path: Path) -> None:
        run = Path(shutil.copytree(finished.path, tmp_path / "run"))
        content = json.loads((run / "run.json").read_text())
        content["digests"]["data"] = "0" * 64
        (run / "run.json").write_text(json.dumps(content))
        answer = edgett("firmware", "check", package, "--run", run)
        assert answer.code == 5 and "stale: its data" in answer.err

    @pytest.mark.parametrize(
        "content", [None, "", "[]", "{}", '{"schema": 2, "files": {"a": 1}}', '{"schema": 9, "files": {}}']
    )
    def test_what_is_no_package_is_told(self, edgett: Call, tmp_path: Path, content: str | None) -> None:
        (tmp_path / "place").mkdir()
        if content is not None:
            (tmp_path / "place" / "manifest.json").write_text(content)
        answer = edgett("firmware", "check", "place")
        assert answer.code == 2 and "manifest.json" in answer.err

    def test_a_manifest_may_not_reach_out_of_the_package(
        self, edgett: Call, package: Path, finished: Finished, tmp_path: Path
    ) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        content = manifest(package)
        content["files"]["../mine.txt"] = {"sha256": "0", "bytes": 4}
        (package / "manifest.json").write_text(json.dumps(content))
        for command in (("check", package), ("pack", finished.path, "--out", package)):
            answer = edgett("firmware", *command)
            assert answer.code == 2 and "not in the package" in answer.err
        assert (tmp_path / "mine.txt").read_text() == "mine"


class TestCMake:
    def test_the_path_is_printed(self, edgett: Call) -> None:
        assert edgett("firmware", "cmake").out == f"{CMAKE}\n"
