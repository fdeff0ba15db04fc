"""`edgett bench`: a real run and loose files on this machine, as a table and as JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgett.device import runner
from edgett.errors import ToolError
from edgett.graph.wire import WirePort
from edgett.run.directory import Run
from edgett.workflow import bench
from tests.conftest import Answer, Finished
from tests.firmware.tools import needs

Call = Callable[..., Answer]
SHORT = ("--runs", "20", "--seconds", "0.05")


@pytest.fixture(autouse=True)
def a_lock_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may measure at the same time."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def run(finished: Finished, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.path, tmp_path / "run"))


def document(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.out)
    return found


class TestRuns:
    @pytest.mark.slow
    def test_a_run_is_its_dense_model_and_its_picks(self, edgett: Call, run: Path) -> None:
        found = document(edgett("bench", run, *SHORT, "--json"))
        outcome = json.loads((run / "run.json").read_text())["outcome"]
        assert found["schema"] == 2
        first, *others = found["artifacts"]
        assert (first["name"], first["verdict"], first["ratio"]) == ("baseline", "baseline", None)
        named = {name for one in others for name in (one["name"], *one["also"])}
        assert named == {name for name, pick in outcome["picks"].items() if pick}
        assert others[0]["name"] == "recommended"
        for one in found["artifacts"]:
            assert one["bytes"] == Path(one["path"]).stat().st_size
            assert one["runs"] >= 20
            assert one["median_us"] <= one["p90_us"] <= one["p99_us"]
            assert one["peak_bytes"] > one["added_bytes"] > 0
            assert one["agreement"]["top1"] == 1
            assert one["agreement"]["max_abs"] < 1e-5
        for one in others:
            ratio = one["ratio"]
            assert ratio["low"] <= ratio["value"] <= ratio["high"]
            verdict = "noise" if ratio["low"] <= 1 <= ratio["high"] else "slower" if ratio["low"] > 1 else "faster"
            assert one["verdict"] == verdict
        assert found["device"]["threads"] == len(found["device"]["pinned"]) == 1

    def test_the_run_keeps_it(self, edgett: Call, run: Path) -> None:
        found = document(edgett("bench", run, *SHORT, "--json"))
        assert json.loads((run / "bench-local.json").read_text()) == found
        assert edgett("check", run).code == 0

    def test_a_changed_artefact_is_not_measured(self, edgett: Call, run: Path) -> None:
        (run / "artifacts" / "recommended.tflite").write_bytes(b"other")
        answer = edgett("bench", run, *SHORT)
        assert answer.code == 5
        assert "is not the file that the run wrote" in answer.err

    def test_a_run_that_is_not_finished(self, edgett: Call, run: Path) -> None:
        content = json.loads((run / "run.json").read_text())
        del content["outcome"]
        (run / "run.json").write_text(json.dumps(content))
        answer = edgett("bench", run)
        assert answer.code == 2
        assert "is not finished" in answer.err


class TestFiles:
    def test_the_first_is_what_the_others_are_compared_with(self, edgett: Call, run: Path) -> None:
        files = [run / "artifacts" / name for name in ("recommended.onnx", "recommended.tflite", "baseline.tflite")]
        answer = edgett("bench", *files, *SHORT)
        assert answer.code == 0
        for words in ("x the first", "local:", "Top class", "ai-edge-litert", "onnxruntime", "1 thread, kept on"):
            assert words in answer.out
        assert not list(run.glob("bench-*.json"))

    @pytest.mark.slow
    def test_names_tell_files_apart(self, edgett: Call, run: Path) -> None:
        other = run / "other" / "baseline.tflite"
        other.parent.mkdir()
        shutil.copyfile(run / "artifacts" / "baseline.tflite", other)
        files = [other, run / "artifacts" / "baseline.tflite", run / "artifacts" / "recommended.tflite"]
        found = document(edgett("bench", *files, *SHORT, "--json"))
        assert [one["name"] for one in found["artifacts"]] == [*map(str, files[:2]), "recommended.tflite"]

    def test_the_same_file_twice_agrees(self, edgett: Call, run: Path) -> None:
        file = run / "artifacts" / "baseline.tflite"
        first, second = document(edgett("bench", file, file, *SHORT, "--json"))["artifacts"]
        assert first["agreement"] == second["agreement"]
        assert 0.5 < second["ratio"]["value"] < 2

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("model.keras", "neither .tflite nor .onnx"),
            ("gone.tflite", "is no file"),
            ("gone", "is no file"),
            ("empty", "there is no run in"),
        ],
    )
    def test_what_cannot_be_measured(self, edgett: Call, tmp_path: Path, name: str, words: str) -> None:
        (tmp_path / "model.keras").write_bytes(b"x")
        (tmp_path / "empty").mkdir()
        answer = edgett("bench", tmp_path / name)
        assert answer.code == 2
        assert words in answer.err

    def test_a_file_that_is_none(self, edgett: Call, tmp_path: Path) -> None:
        (tmp_path / "model.tflite").write_bytes(b"nothing")
        answer = edgett("bench", tmp_path / "model.tflite", "--json")
        assert answer.code == 6
        assert "does not load here" in json.loads(answer.out)["error"]["message"]

    @pytest.mark.parametrize("device", ["adb", "ssh://", "", "local "])
    def test_no_such_device(self, edgett: Call, run: Path, device: str) -> None:
        answer = edgett("bench", run, "--device", device)
        assert answer.code == 2
        no_address = ["error: 'ssh://' is no address of a device.", "Write ssh://user@host or ssh://user@host:port."]
        other = [f"error: there is no device {device!r}.", "Write local, ssh://user@host or emulator."]
        assert answer.err.splitlines()[-2:] == (no_address if device == "ssh://" else other)

    def test_a_format_that_the_run_has_not(self, edgett: Call, run: Path) -> None:
        content = json.loads((run / "run.json").read_text())
        for model in (content["outcome"]["baseline"], *content["outcome"]["picks"].values()):
            del model["artifacts"]["tflite"]
        content["outcome"]["left_out"] = {"tflite": "nobody converts it"}
        (run / "run.json").write_text(json.dumps(content))
        answer = edgett("bench", run)
        assert answer.code == 2
        assert f"the run in {run} has no .tflite files: nobody converts it" in answer.err
        assert "Name files that it has, or another device." in answer.err


class TestOptions:
    """What means nothing is refused, whatever its value, before anything is loaded."""

    @pytest.mark.parametrize(
        ("device", "option"),
        [
            *(("local", option) for option in ("--target=host", "--python=python3", "--ssh-config=x")),
            ("ssh://pi@board", "--target=host"),
            *(("emulator", f"--{option}") for option in
              ("threads=1", "runs=50", "seconds=2", "python=python3", "ssh-config=x")),
        ],
    )  # fmt: skip
    def test_an_option_that_means_nothing(self, edgett: Call, device: str, option: str) -> None:
        answer = edgett("bench", "none.tflite", "--device", device, option)
        assert answer.code == 2
        assert f"{option.partition('=')[0]} means nothing to --device {device}." in answer.err

    @pytest.mark.parametrize("option", ["--python=python3", "--ssh-config=x"])
    def test_nor_to_calibrate(self, edgett: Call, option: str) -> None:
        answer = edgett("calibrate", "--out", "x.toml", option)
        assert answer.code == 2
        assert f"{option.partition('=')[0]} means nothing to --device local." in answer.err

    @pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "-1", "601"])
    def test_seconds(self, edgett: Call, run: Path, seconds: str) -> None:
        answer = edgett("bench", run, f"--seconds={seconds}")
        assert answer.code == 2
        assert "--seconds" in answer.err
        assert "600" in answer.err or "greater than or equal to 0" in answer.err

    @needs("qemu-aarch64", "gcc")
    def test_the_limit_is_the_emulators_too(self, run: Path, monkeypatch: pytest.MonkeyPatch, edgett: Call) -> None:
        limits: list[float] = []

        def given(path: Path, inputs: object, cpu: str, limit: float = 0.0) -> None:
            limits.append(limit)
            raise ToolError("enough.")

        monkeypatch.setattr("edgett.device.emulator.count", given)
        assert edgett("bench", run, "--device", "emulator", "--limit", 7).code == 6
        assert limits == [7]

    def test_an_emulator_needs_a_target_that_names_one(self, edgett: Call) -> None:
        answer = edgett("calibrate", "--device", "emulator", "--out", "x.toml")
        assert answer.code == 2
        assert "the profile host names no emulator" in answer.err and "--target" in answer.err

    def test_the_help_says_what_there_is_not(self, edgett: Call) -> None:
        said = " ".join(edgett("bench", "--help").out.replace("│", " ").split())
        assert "a static binary" in said and "no adb" in said


class TestRunsThatCannotBeUsed:
    """Their cures name no option that `bench` does not have."""

    @pytest.mark.parametrize(
        ("content", "words"), [("{", "cannot be read"), ('{"schema": 99}', "has schema 99"),
                               ('{"schema": 2, "outcome": {}, "options": []}', "options is []: it must be a table")]
    )  # fmt: skip
    def test_damaged(self, edgett: Call, run: Path, content: str, words: str) -> None:
        (run / "run.json").write_text(content)
        answer = edgett("bench", run)
        assert answer.code == 2
        assert words in answer.err
        assert "'edgett compress' starts anew there with --fresh" in answer.err

    @pytest.mark.slow
    def test_what_is_in_use_is_measured_and_not_kept(self, edgett: Call, run: Path) -> None:
        with closing(Run.resume(run)):
            answer = edgett("bench", run, *SHORT)
        assert answer.code == 0
        assert "not kept in the run: the run in" in answer.err
        assert "--out" not in answer.err


class TestInputs:
    def test_they_are_what_the_port_takes(self) -> None:
        quantised = bench._drawn(WirePort("x", "x", (1, 500), "int8", 0.5, 3))
        assert quantised.shape == (bench.SAMPLES, 500)
        assert (quantised.min(), quantised.max()) == (0.5 * (-128 - 3), 0.5 * (127 - 3))
        assert bench._drawn(WirePort("x", "x", (1, 9), "uint8")).max() > 200
        assert not bench._drawn(WirePort("x", "x", (1, 9), "int32")).any()
        plain = bench._drawn(WirePort("x", "x", (2, 400), "float32"))
        assert plain.dtype == np.float32
        assert abs(plain.std() - 1) < 0.05
        np.testing.assert_array_equal(plain, bench._drawn(WirePort("x", "x", (2, 400), "float32")))


def test_the_lock_is_the_machines() -> None:
    assert runner.LOCK.name == "edgett-bench.lock"


class TestEmulator:
    @pytest.mark.slow
    @needs("qemu-aarch64", "gcc")
    def test_instructions_of_a_run_on_arm64(self, edgett: Call, run: Path) -> None:
        found = document(edgett("bench", run, "--device", "emulator", "--json"))
        assert found["device"]["target"] == "cortex-a53"
        first, *others = found["artifacts"]
        assert (first["name"], first["ratio"]) == ("baseline", None)
        for one in others:
            assert one["ratio"] == one["instructions"] / first["instructions"]
            assert one["agreement"]["max_abs"] < 1e-5
        assert json.loads((run / "bench-emulator.json").read_text()) == found

    @pytest.mark.slow
    @needs("qemu-system-arm", "arm-none-eabi-gcc")
    def test_instructions_of_c_on_a_board(self, edgett: Call, run: Path) -> None:
        answer = edgett("bench", run, "--device", "emulator", "--target", "cortex-m4")
        assert answer.code == 0
        for words in ("baseline", "recommended", "mps2-an386", "no times"):
            assert words in answer.out

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "target", "words"),
        [
            ("baseline.tflite", None, "needs to know the device"),
            ("baseline.tflite", "cortex-m4", "is none"),
            ("baseline.onnx", "host", "names no emulator"),
            ("baseline.onnx", "esp32-s3", "cannot run programs on qemu-system-xtensa"),
        ],
    )
    def test_what_cannot_be_emulated(self, edgett: Call, run: Path, name: str, target: str | None, words: str) -> None:
        given = ["--target", target] if target else []
        answer = edgett("bench", run / "artifacts" / name, "--device", "emulator", *given)
        assert answer.code in (2, 6)
        assert words in answer.err
