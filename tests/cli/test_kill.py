"""Twenty kills of a real process, at random points of its whole life: nothing is lost, nothing is trained twice."""

from __future__ import annotations

import enum
import json
import os
import re
import signal
import time
import zipfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgett.run.directory import Run
from tests.cli.living import Living, Row, Written, assert_grown, living, written
from tests.conftest import EASY, Tiny

WORK = (*EASY, "--limit", "5", "--epochs", "3", "--schedule", "halving")
OBJECTS = ("--custom-objects", "sharing")
KILLS = 20


class Phase(enum.Enum):
    LOADING = "loading and exploring"
    TRAINING = "fine-tuning"
    EXPORTING = "exporting"


@dataclass(frozen=True)
class Whole:
    """A run that was left alone, and the seconds that each phase took; for TRAINING a row of the journal."""

    run: Path
    document: dict[str, Any]
    seconds: dict[Phase, float]


@dataclass(frozen=True)
class Kill:
    """When to kill: a share of the seconds of a phase after it began, with TRAINING after so many more rows."""

    phase: Phase
    share: float
    rows: int = 0
    jobs: int = 1


def kills() -> list[Kill]:
    random = np.random.default_rng(4)
    early = [Kill(Phase.LOADING, share) for share in random.uniform(0, 1.1, 7)]
    middle = [Kill(Phase.TRAINING, random.uniform(), int(random.integers(2))) for _ in range(7)]
    middle += [Kill(Phase.TRAINING, random.uniform(), rows, jobs=2) for rows in (0, 1)]
    late = [Kill(Phase.EXPORTING, share) for share in random.uniform(0, 0.8, 4)]
    mixed = [*early, *middle]
    random.shuffle(mixed)  # type: ignore[arg-type]
    assert len(mixed) + len(late) == KILLS
    return mixed + late


def left_alone(folder: Path, tiny: Tiny) -> Whole:
    started, times = time.monotonic(), []
    with living(folder, *tiny.arguments, *OBJECTS, *WORK, "--jobs", "1", "--out", "whole", "--json") as process:
        for phase in (Phase.TRAINING, Phase.EXPORTING):
            assert process.wait_for(lambda phase=phase: process.said(phase.value)), process.log.read_text()
            times.append(time.monotonic())
        assert process.process.wait() == 0
    loaded, trained = times
    rows = len(written(folder / "whole"))
    seconds = loaded - started, (trained - loaded) / rows, time.monotonic() - trained
    return Whole(folder / "whole", json.loads((folder / "out").read_text()), dict(zip(Phase, seconds, strict=True)))


def carried_out(kill: Kill, process: Living, whole: Whole) -> bool:
    """Kill it there; whether it had not come to its end before."""
    before = len(written(process.run))
    if kill.phase is Phase.TRAINING:
        process.wait_for(
            lambda: (
                process.said(Phase.EXPORTING.value)
                or (process.said(kill.phase.value) and len(written(process.run)) >= before + kill.rows)
            )
        )
    elif kill.phase is Phase.EXPORTING:
        process.wait_for(lambda: process.said(kill.phase.value))
    time.sleep(kill.share * whole.seconds[kill.phase])
    code = process.end(signal.SIGKILL)
    assert code in (0, -signal.SIGKILL), process.log.read_text()
    return code != 0


def assert_left_behind(process: Living) -> None:
    """The lock is free at once though workers may still live; they do not for long."""
    if (process.run / "run.json").exists():
        with closing(Run.resume(process.run)):
            assert not list(process.run.glob(".part-*"))
    deadline = time.monotonic() + 30  # a worker that still loads TensorFlow notices afterwards
    while process.others():
        assert time.monotonic() < deadline, process.others()
        time.sleep(0.1)


def without_outcome(run: Path) -> None:
    asked = json.loads((run / "run.json").read_text())
    del asked["outcome"]
    (run / "run.json").write_text(json.dumps(asked))


def assert_equal(run: Path, document: dict[str, Any], whole: Whole) -> None:
    def timeless(rows: dict[Row, Written]) -> dict[Row, tuple[str, str, str | None]]:
        return {row: (re.sub(r'"seconds": [\d.]+', "", w.trial), w.weights, w.state) for row, w in rows.items()}

    assert document["picks"] == whole.document["picks"]
    assert timeless(written(run)) == timeless(written(whole.run))
    left, other = ({path.name: path.read_bytes() for path in (one / "artifacts").iterdir()} for one in (whole.run, run))
    assert left.keys() == other.keys()
    assert [name for name in left if left[name] != other[name]] == []
    with zipfile.ZipFile(run / "artifacts" / "recommended.keras") as archive:
        assert b"shared_object_id" in archive.read("config.json")


SHARING = """
import keras

POLICY = keras.DTypePolicy("float32")


@keras.saving.register_keras_serializable("sharing")
class Scaled(keras.layers.Layer):
    def __init__(self, **others):
        super().__init__(**others | {"dtype": POLICY})

    def call(self, x):
        return x * 0.5
"""
"""Layers with an object in common, which Keras tells by its address."""


@pytest.fixture
def shared(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The tiny model with two layers of one's own that share something."""
    from edgett.model import ports

    (tmp_path / "sharing.py").write_text(SHARING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    scope: dict[str, Any] = {"__name__": "sharing"}
    exec(SHARING, scope)
    whole = ports.keras.models.load_model(tiny.model)
    layers = [whole.get_layer("wide"), scope["Scaled"](), whole.get_layer("dense"), scope["Scaled"]()]
    model = ports.keras.Sequential([ports.keras.Input((64,)), *layers, whole.get_layer("digit")], name="tiny")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(tmp_path / "sharing.keras")
    return Tiny(tmp_path / "sharing.keras", tiny.data)


@pytest.mark.slow
def test_twenty_kills_at_random_points_lose_nothing_and_train_nothing_twice(shared: Tiny, tmp_path: Path) -> None:
    whole = left_alone(tmp_path, shared)
    begin, run = (*shared.arguments, *OBJECTS, *WORK, "--out", "run"), tmp_path / "run"
    before, to_come = dict[Row, Written](), kills()
    while to_come:
        kill = to_come.pop(0)
        arguments = ("--out", "run", "--resume") if (run / "run.json").exists() else begin
        with living(tmp_path, *arguments, "--jobs", str(kill.jobs)) as process:
            killed = carried_out(kill, process, whole)
            assert_left_behind(process)
        now = written(run)
        assert_grown(before, now)
        before = now
        if not killed:  # too late; the last thing it did is undone, as if the kill had come before
            without_outcome(run)
            to_come.insert(0, replace(kill, share=kill.share / 2))

    with living(tmp_path, "--out", "run", "--resume", "--json") as process:
        assert process.process.wait() == 0, process.log.read_text()
    assert_grown(before, written(run))
    assert_equal(run, json.loads((tmp_path / "out").read_text()), whole)
