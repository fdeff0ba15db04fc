"""A run directory from elsewhere: what was changed in it is told, and nothing outside of it is read or written."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgett.errors import ModelError
from tests.conftest import Answer, Finished

pytestmark = pytest.mark.slow

Call = Callable[..., Answer]
COMMANDS: Mapping[str, tuple[object, ...]] = {
    "resume": ("compress", "--out", "run", "--resume"),
    "check": ("check", "run"),
    "export": ("export", "run", "--format", "tflite"),
    "export c": ("export", "run", "--format", "c"),
    "bench": ("bench", "run", "--runs", 1, "--seconds", 0),
    "pack": ("firmware", "pack", "run", "--out", "package"),
    "report": ("report", "run"),
    "markdown": ("report", "run", "--format", "md"),
}


@pytest.fixture
def run(finished: Finished, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.path, tmp_path / "run"))


def refused(answer: Answer, *told: str) -> None:
    assert answer.code == 2, answer.err
    for words in told:
        assert words in answer.err.replace("\n", ""), answer.err
    assert "Traceback" not in answer.err and "bug" not in answer.err


def moved_out(run: Path, name: str) -> Path:
    """The file or folder of a run elsewhere, a link in its place."""
    outside = run.parent / "outside"
    outside.mkdir()
    place = run / name
    if not place.exists():
        place.mkdir() if name == "exports" else place.write_text("mine")
    shutil.move(place, outside)
    place.symlink_to(outside / place.name)
    return outside


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", ["resume", "check", "export", "export c"])
@pytest.mark.parametrize(
    "name",
    [
        ".lock",
        "run.json",
        "journal.sqlite",
        "run.log",
        "artifacts",
        "artifacts/baseline.keras",
        "exports",
        "check.json",
    ],
)
def test_links_are_not_followed_where_a_run_is_opened(edgett: Call, run: Path, name: str, command: str) -> None:
    outside = moved_out(run, name)
    before = contents(outside)

    refused(edgett(*COMMANDS[command]), name, "no links")
    assert contents(outside) == before


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("run.json", "report"), ("run.json", "bench"), ("space.json", "report"), ("report.html", "report"),
        ("bench-local.json", "markdown"), ("artifacts", "bench"), ("artifacts/baseline.tflite", "bench"),
        ("artifacts/recommended.onnx", "pack"), ("artifacts/samples.npz", "pack"),
    ],
)  # fmt: skip
def test_links_are_not_followed_where_a_run_is_read(edgett: Call, run: Path, name: str, command: str) -> None:
    outside = moved_out(run, name)
    before = contents(outside)

    refused(edgett(*COMMANDS[command]), name, "no links")
    assert contents(outside) == before


def test_a_file_that_is_none_is_not_waited_for(edgett: Call, run: Path) -> None:
    for name in ("space.json", "artifacts/baseline.tflite"):
        (run / name).unlink()
        os.mkfifo(run / name)
    refused(edgett(*COMMANDS["report"]), "space.json is no file")
    refused(edgett(*COMMANDS["check"]), "artifacts/baseline.tflite is no file")


def test_exports_replace_a_link_and_leave_what_it_leads_to(edgett: Call, run: Path, finished: Finished) -> None:
    number = finished.document["picks"]["recommended"]["solution"]
    Path("exports").mkdir()
    Path("precious").write_text("mine")
    place = Path("exports", f"solution-{number}.tflite")
    place.symlink_to(Path("precious").resolve())

    assert edgett(*COMMANDS["export"], "--out", "exports").code == 0
    assert Path("precious").read_text() == "mine" and not place.is_symlink()


def changed(run: Path, change: Callable[[Any], object]) -> None:
    content = json.loads((run / "run.json").read_text())
    change(content)
    (run / "run.json").write_text(json.dumps(content))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "path", ["../outside.tflite", "/etc/passwd", "artifacts/../../x.tflite", "artifacts/a b.tflite"]
)
def test_documents_lead_nowhere_else(edgett: Call, run: Path, path: str, command: str) -> None:
    changed(run, lambda asked: asked["outcome"]["baseline"]["artifacts"]["tflite"].update(path=path))

    refused(edgett(*COMMANDS[command]), "run.json is damaged", "outcome.baseline.artifacts.tflite.path", path)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda asked: asked["outcome"].pop("funnel"), "outcome.funnel is missing"),
        (lambda asked: asked["outcome"]["baseline"].update(params="1"), "outcome.baseline.params is '1': it must be"),
        (lambda asked: asked["outcome"].update(trials=[]), "no trial has that number"),
        (lambda asked: asked["options"]["epochs"].update(value=0), "--epochs 0 is below 1"),
        (lambda asked: asked["options"].update(epochs=3), "options.epochs is 3: it must be a table"),
    ],
    ids=["missing", "type", "reference", "option", "options"],
)
def test_damage_is_told_by_file_key_and_what_is_allowed(
    edgett: Call, run: Path, change: Callable[[Any], object], told: str, command: str
) -> None:
    changed(run, change)

    refused(edgett(*COMMANDS[command]), "run.json is damaged", told, "--fresh")


def test_words_of_a_record_are_only_words(edgett: Call, run: Path, finished: Finished) -> None:
    name = "a\x1b[2J\u202e\n<script>"
    changed(run, lambda asked: asked["outcome"].update(judged_by=name, slower_than_dense={name: 3}))

    for command in ("resume", "markdown"):
        answer = edgett(*COMMANDS[command])
        assert answer.code == 0, answer.err
        assert not set("\x1b\u202e") & set(answer.out)
        assert "\n<script>" not in answer.out


def test_a_model_of_a_run_brings_no_code(edgett: Call, run: Path) -> None:
    """A Lambda layer in a run's own file: the digest is the attacker's too."""
    place = run / "artifacts" / "baseline.keras"
    with zipfile.ZipFile(place) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    config = json.loads(parts["config.json"])
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAAA", "defaults": None, "closure": None}}
    config["config"]["layers"][1] |= {"class_name": "Lambda", "config": {"name": "wide", "function": code}}
    with zipfile.ZipFile(place, "w") as target:
        for name, content in (parts | {"config.json": json.dumps(config).encode()}).items():
            target.writestr(name, content)

    answer = edgett(*COMMANDS["export"])

    assert answer.code == ModelError.exit_code and "Lambda layer, which is code in a file: refused" in answer.err


def test_a_run_does_not_bring_code_along(edgett: Call, run: Path) -> None:
    (run / "evil.py").write_text("from pathlib import Path\nPath('executed').touch()\n")
    place = run / "run.json"
    asked = json.loads(place.read_text())
    for name in ("run.evil", "evil"):
        asked["options"]["custom_objects"]["value"] = name
        place.write_text(json.dumps(asked))
        answer = edgett("check", "run")
        assert answer.code == 2 and f"--custom-objects {name} cannot be imported" in answer.err.replace("\n", " ")
    os.chdir(run)
    answer = edgett("check", ".")
    assert answer.code == 2 and "no code of a run is executed" in answer.err.replace("\n", " ")
    assert not list(run.parent.rglob("executed"))


def test_what_is_damaged_is_made_again_by_what_made_it(edgett: Call, run: Path) -> None:
    place = run / "run.json"
    asked = json.loads(place.read_text()) | {"command": "deploy"}
    del asked["outcome"]["check"]
    place.write_text(json.dumps(asked))
    refused(edgett("check", "run"), "'edgett deploy' starts anew there")
