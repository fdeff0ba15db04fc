"""`edgett deploy`: a model as it is, to a run that every other command goes on with; nothing is trained."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgett.cli import run
from edgett.device import local
from edgett.workflow import files
from tests.conftest import Answer, Tiny
from tests.firmware.tools import needs

Call = Callable[..., Answer]
ALONE = dict.fromkeys(("highest_accuracy", "lowest_memory", "lowest_flops", "recommended"), -1)


@dataclass(frozen=True)
class Network:
    """Files of a model and of its data."""

    model: Path
    data: Path


def saved(folder: Path, *layers: Any, outputs: int = 4) -> Network:
    """A Sequential classifier, not trained, and samples for it."""
    from edgett.model.ports import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(layers, name=folder.name)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = np.random.default_rng(0).normal(size=(80, *model.input_shape[1:])).astype(np.float32)
    y = np.arange(80) % outputs
    model.save(folder / "model.keras")
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_test=x[:40], y_test=y[:40])
    return Network(folder / "model.keras", folder / "data.npz")


@pytest.fixture(scope="module")
def conv(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Without any dense layer."""
    from edgett.model.ports import keras

    kinds = keras.layers
    layers = [keras.Input((8, 8, 1)), kinds.Conv2D(4, 3, activation="relu"), kinds.Conv2D(4, 3)]
    return saved(tmp_path_factory.mktemp("conv"), *layers, kinds.GlobalAveragePooling2D(), kinds.Softmax())


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Recurrent, without any dense layer."""
    from edgett.model.ports import keras

    layers = [keras.Input((6, 5)), keras.layers.LSTM(4, name="memory"), keras.layers.Softmax()]
    return saved(tmp_path_factory.mktemp("memory"), *layers)


@pytest.fixture(scope="module")
def deployed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in int8; do not write into it."""
    path = tmp_path_factory.mktemp("deployed") / "run"
    command = ["deploy", tiny.model, "--data", tiny.data, "-t", "cortex-m4", "--dtype", "int8", "--out", path]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert run(list(map(str, command))) == 0
    return path


def outcome(path: Path) -> Any:
    return json.loads((path / "run.json").read_text())["outcome"]


def held(document: Any) -> dict[str, bool | None]:
    return {item["name"]: item["holds"] for item in document["constraints"]}


class TestInt8:
    def test_the_file_is_checked_judged_and_held_to_every_budget(self, deployed: Path) -> None:
        document = outcome(deployed)
        assert document["check"]["ok"] and document["check"]["samples"] == "validation"
        assert set(document["check"]["artifacts"]) == {"artifacts/baseline.tflite", "artifacts/baseline.onnx"}
        assert held(document) == {"model_bytes": True, "peak_activation_bytes": True, "accuracy_drop_pp": True}
        dense = document["baseline"]
        file = deployed / dense["artifacts"]["tflite"]["path"]
        assert dense["bytes"] == dense["artifacts"]["tflite"]["bytes"] == file.stat().st_size
        assert {name: pick["solution"] for name, pick in document["picks"].items()} == ALONE
        assert document["trials"] == [] and document["funnel"] is None and document["why_dense"] is None
        options = json.loads((deployed / "run.json").read_text())["options"]
        assert {"model", "target", "data", "dtype", "seed"} < set(options)
        assert not {"epochs", "ranks", "limit", "jobs"} & set(options)

    def test_it_is_told_again_and_nothing_is_done_twice(self, edgett: Call, deployed: Path) -> None:
        before = {path: path.stat().st_mtime_ns for path in (deployed / "artifacts").iterdir()}
        answer = edgett("deploy", "--out", deployed, "--resume", "--json")
        assert answer.code == 0 and answer.document == {**outcome(deployed), "run": str(deployed)}
        assert {path: path.stat().st_mtime_ns for path in (deployed / "artifacts").iterdir()} == before
        said = " ".join(edgett("deploy", "--out", deployed, "--resume").out.split())
        assert "The model as it is" in said and "drops are from the dense model in float32" in said
        assert "factorising" not in said and "picks" not in said

    def test_it_is_no_run_of_compress(self, edgett: Call, deployed: Path) -> None:
        answer = edgett("compress", "--out", deployed, "--resume")
        assert answer.code == 2 and "is of 'edgett deploy'" in answer.err
        assert f"edgett deploy --out {deployed} --resume" in answer.err
        other = edgett("deploy", "--out", deployed, "--resume", "--dtype", "float32")
        assert other.code == 2 and "dtype was int8, now float32" in other.err
        assert "'edgett deploy' starts anew there with --fresh" in other.err

    def test_checked_exported_and_reported(self, edgett: Call, deployed: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(deployed, tmp_path / "run")
        assert edgett("check", copy).code == 0
        assert json.loads((copy / "check.json").read_text()) == outcome(deployed)["check"]
        for wish in ((), ("--solution", "baseline"), ("--solution", "-1")):
            assert edgett("export", copy, *wish, "--out", "again", "--format", "tflite").code == 0
            content = (tmp_path / "again" / "baseline.tflite").read_bytes()
            written = outcome(deployed)["baseline"]["artifacts"]["tflite"]
            assert hashlib.sha256(content).hexdigest() == written["sha256"]
        for format in ("md", "json", "html"):
            answer = edgett("report", copy, "--format", format, "--out", f"report.{format}")
            assert answer.code == 0, answer.err
        text = (tmp_path / "report.md").read_text()
        assert "The model as it is, for cortex-m4" in text and "edgett deploy" in text
        assert "Every budget holds" in (tmp_path / "report.html").read_text()

    def test_measured(self, edgett: Call, deployed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        copy = shutil.copytree(deployed, tmp_path / "run")
        answer = edgett("bench", copy, "--runs", "1", "--seconds", "0", "--json")
        assert answer.code == 0, answer.err
        (one,) = answer.document["artifacts"]
        assert (one["name"], one["verdict"]) == ("baseline", "baseline") and "recommended" in one["also"]

    @pytest.mark.slow
    @needs("gcc", "make")
    def test_packed(self, edgett: Call, deployed: Path, tmp_path: Path) -> None:
        answer = edgett("firmware", "pack", deployed, "--out", "firmware", "--name", "tiny", "--json")
        assert answer.code == 0, answer.err
        assert answer.document["run"]["solution"] == -1 and answer.document["run"]["edits"] == {}
        sources = [tmp_path / "firmware" / name for name in ("src/tiny.c", "test/tiny_selftest.c")]
        (tmp_path / "main.c").write_text(
            '#include "tiny.h"\n#include "tiny_selftest.h"\nint main(void) { return tiny_selftest(tiny_run); }\n'
        )
        command = ["gcc", "-I", tmp_path / "firmware" / "include", tmp_path / "main.c", *sources, "-lm", "-o", "app"]
        subprocess.run(command, cwd=tmp_path, check=True)
        assert subprocess.run([tmp_path / "app"]).returncode == 0
        assert edgett("firmware", "check", "firmware", "--run", deployed).code == 0

    @pytest.mark.slow
    def test_a_recurrent_model_is_refused_with_the_cure(self, edgett: Call, memory: Network, tmp_path: Path) -> None:
        command = ("deploy", memory.model, "--data", memory.data, "-t", "cortex-m4", "--out", "run")
        answer = edgett(*command, "--dtype", "int8")
        assert answer.code == 3 and "int8: memory" in answer.err and "--dtype float32" in answer.err
        assert not (tmp_path / "run").exists()
        assert edgett(*command, "--dtype", "float32").code == 0

    def test_without_data_there_is_nothing_to_calibrate_on(self, edgett: Call, tiny: Tiny, tmp_path: Path) -> None:
        answer = edgett("deploy", tiny.model, "-t", "cortex-m4", "--dtype", "int8", "--out", "run")
        assert answer.code == 3 and "--data" in answer.err and "--dtype float32" in answer.err
        assert not (tmp_path / "run").exists()


class TestAlone:
    """Without data."""

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["conv", "memory"])
    def test_float32_does_without_and_says_what_was_not_looked_at(
        self, edgett: Call, request: pytest.FixtureRequest, kind: str
    ) -> None:
        network: Network = request.getfixturevalue(kind)
        command = ("deploy", network.model, "-t", "cortex-m4", "--dtype", "float32")
        answer = edgett(*command, "--out", "run", "--json")
        assert answer.code == 0, answer.err
        document = answer.document
        assert document["judged_by"] is None and document["baseline"]["accuracy"] == []
        assert document["baseline"]["drop"] is None and document["baseline"]["test_accuracy"] is None
        assert held(document)["accuracy_drop_pp"] is None and held(document)["model_bytes"] is True
        assert document["check"]["ok"] and document["check"]["samples"] == "random"
        assert edgett("deploy", "--out", "run", "--resume").code == 0
        said = " ".join(edgett("deploy", "--out", "run", "--resume").out.split())
        assert "Not judged" in said and "random inputs" in said and "not checked" in said and "accuracy," not in said
        again = edgett("check", "run")
        assert again.code == 0 and "random inputs" in again.out
        assert edgett("report", "run", "--format", "md").code == 0
        # The seed decides what is drawn.
        other = edgett(*command, "--out", "other", "--json").document
        assert other["check"] == document["check"]

    @needs("gcc")
    def test_packed(self, edgett: Call, conv: Network, tmp_path: Path) -> None:
        assert edgett("deploy", conv.model, "-t", "cortex-m4", "--dtype", "float32", "--out", "run").code == 0
        answer = edgett("firmware", "pack", "run", "--out", "firmware", "--json")
        assert answer.code == 0, answer.err
        assert set(answer.document["run"]["digests"]) == {"model"}
        header = (tmp_path / "firmware" / "include" / f"{answer.document['name']}_selftest.h").read_text()
        assert "/* Random inputs, and how far" in header and "validation" not in header

    @pytest.mark.parametrize(
        ("example", "cure"),
        [
            ("example:lenet300", "Add --data mnist.npz, or --data mnist."),
            ("example:dscnn", "Add --data FILE.npz with x_train (n, 49, 10, 1), y_train (n,) of classes 0 to 11,"),
        ],
    )
    def test_an_example_brings_its_own(self, edgett: Call, example: str, cure: str) -> None:
        answer = edgett("deploy", example, "-t", "cortex-m4", "--out", "run")
        assert answer.code == 3 and f"{example} has no data of its own" in answer.err
        assert cure in answer.err


class TestBudgets:
    @pytest.mark.slow
    def test_what_is_broken_is_exit_4_and_stays_so(self, edgett: Call, tiny: Tiny) -> None:
        command = ("deploy", tiny.model, "--data", tiny.data, "-t", "cortex-m4", "--dtype", "int8")
        answer = edgett(*command, "--model-bytes", "4 KiB", "--flops", "10 FLOP", "--out", "run", "--json")
        assert answer.code == 4
        message = answer.document["error"]["message"]
        assert "model_bytes is" in message and "the limit 4,096; flops is 10,414, the limit 10" in message
        cure = answer.document["error"]["cure"]
        assert "--model-bytes" in cure and "--flops '11 kFLOP'" in cure and "edgett compress" not in cure
        assert held(answer.document)["flops"] is False
        assert answer.document["picks"] == dict.fromkeys(ALONE)
        again = edgett("deploy", "--out", "run", "--resume")
        assert again.code == 4 and message in again.err
        assert "broken" in again.out and "The model as it is" in again.out
        report = edgett("report", "run", "--format", "md")
        assert report.code == 0 and "broken" in report.out
        # It can be had all the same, by its name; but for sources over the budget.
        refused = edgett("firmware", "pack", "run", "--out", "firmware")
        assert refused.code == 2 and "--solution" in refused.err
        assert edgett("export", "run", "--solution", "baseline", "--format", "onnx").code == 0
        assert edgett("firmware", "pack", "run", "--solution", "baseline", "--out", "firmware").code == 4

    @pytest.mark.slow
    def test_a_failed_check_is_exit_5_and_stays_so(
        self, edgett: Call, conv: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The files ran as Keras does when they were tried: what the cross-check finds goes by its own code."""

        class Off:
            @staticmethod
            def run(path: Path, inputs: Any, batch: int) -> Any:
                return {name: array + 0.01 for name, array in local.run(path, inputs, batch).items()}

        with monkeypatch.context() as planted:
            planted.setattr(files, "local", Off)
            answer = edgett("deploy", conv.model, "-t", "cortex-m4", "--dtype", "float32", "--out", "run")
        assert answer.code == 5 and "baseline.tflite: outputs differ" in answer.err
        assert edgett("deploy", "--out", "run", "--resume").code == 5
        for command in (("firmware", "pack", "run", "--out", "package"), ("bench", "run")):
            refused = edgett(*command)
            assert refused.code == 5 and "the run in run failed its cross-check" in refused.err
            assert "artifacts/baseline.tflite" in refused.err
        assert not (tmp_path / "package").exists()
        fresh = edgett("deploy", conv.model, "-t", "cortex-m4", "--dtype", "float32", "--out", "run", "--fresh")
        assert fresh.code == 0, fresh.err


@pytest.mark.slow
def test_a_run_that_was_broken_off_goes_on(edgett: Call, deployed: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(deployed, tmp_path / "run", ignore=shutil.ignore_patterns("artifacts", "check.json"))
    asked = json.loads((copy / "run.json").read_text())
    document = asked.pop("outcome")
    (copy / "run.json").write_text(json.dumps(asked))
    told = edgett("report", copy)
    assert told.code == 2 and f"Go on with: edgett deploy --out {copy} --resume" in told.err
    answer = edgett("deploy", "--out", copy, "--resume", "--json")
    assert answer.code == 0, answer.err
    assert answer.document == {**document, "run": str(copy)}
    for path in (deployed / "artifacts").iterdir():
        assert path.suffix == ".npz" or path.read_bytes() == (copy / "artifacts" / path.name).read_bytes(), path.name


@pytest.mark.slow
def test_fresh_only_where_something_has_changed(edgett: Call, conv: Network, tmp_path: Path) -> None:
    shutil.copy(conv.model, tmp_path / "model.keras")
    command = ("deploy", "model.keras", "-t", "cortex-m4", "--dtype", "float32", "--out", "run", "--resume", "--fresh")
    assert edgett(*command).code == 0
    same = edgett(*command)
    assert same.code == 0 and "starting anew" not in same.err
    other = edgett(*command, "--seed", "3")
    assert other.code == 0 and "starting anew" in other.err
