"""A tiny trained model with its data, a finished run of it, and the command line in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from edgett.cli import run
from edgett.run import record
from tests import schemas

# Before any test module imports it.
pytest.register_assert_rewrite("tests.export.contract")
# No test is a measurement: machines are shared.
settings.register_profile("edgett", deadline=None)
settings.load_profile("edgett")
# As edgett itself does, in time for test modules that import TensorFlow first: or this process has other digits.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

QUICK = ("--ranks", "2:6", "--limit", "2", "--epochs", "1", "--batch-size", "64", "--jobs", "0")
"""As little work as makes two solutions."""
EASY = ("--max-drop", "100", "--model-bytes", "100 %")
"""Budgets that every solution holds."""


LONGEST = (
    "test_readme_runs.py",
    "test_kill.py",
    "test_gallery.py",
    "test_calibrate.py",
    "test_chip.py",
    "test_cures.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first, so that all processes end together."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@dataclass(frozen=True)
class Tiny:
    """Files of a model 64-48-36-10 that tells ten seeded blobs apart, and of its data."""

    model: Path
    data: Path

    @property
    def arguments(self) -> tuple[str, ...]:
        return str(self.model), "--data", str(self.data), "--target", "cortex-a53", *QUICK

    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.data) as stored:
            return dict(stored)


@dataclass(frozen=True)
class Finished:
    """A run of `compress` that found its picks; do not write into it."""

    path: Path
    document: dict[str, Any]
    remarks: str


@dataclass(frozen=True)
class Answer:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def blobs(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    centres = 1.2 * random.normal(size=(10, 64))
    arrays = {}
    for part, count in (("train", 600), ("test", 200)):
        y = np.arange(count) % 10
        x = (centres[y] + random.normal(size=(count, 64))).astype(np.float32)
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    return arrays


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    from edgett.model import ports  # first, so that TensorFlow loads in silence

    keras = ports.keras
    folder, arrays = tmp_path_factory.mktemp("tiny"), blobs()
    keras.utils.set_random_seed(1)
    layers = [keras.Input((64,))]
    layers += [keras.layers.Dense(48, activation="relu", name="wide")]
    layers += [keras.layers.Dense(36, activation="relu", name="dense")]
    layers += [keras.layers.Dense(10, activation="softmax", name="digit")]
    model = keras.Sequential(layers, name="tiny")
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(arrays["x_train"], arrays["y_train"], epochs=5, batch_size=64, verbose=0)
    tiny = Tiny(folder / "tiny.keras", folder / "blobs.npz")
    model.save(tiny.model)
    np.savez(tiny.data, **arrays)
    return tiny


@pytest.fixture(scope="session")
def finished(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    path = tmp_path_factory.mktemp("runs") / "finished"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(tiny.model.parent), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["compress", *tiny.arguments, *EASY, "--out", str(path), "--json"])
    assert code == 0, err.getvalue()
    can_be_read(path)
    schemas.hold("compress", json.loads(out.getvalue()))
    for name, place, _ in schemas.files(path):
        schemas.hold(name, json.loads(place.read_text()))
    return Finished(path, json.loads(out.getvalue()), err.getvalue())


@pytest.fixture
def edgett(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """A command line in this process, in an empty working directory; JSON that it makes is as described."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        words = [str(argument) for argument in arguments]
        before = set(schemas.files(tmp_path))
        code = run(words)
        for name, place, _ in set(schemas.files(tmp_path)) - before:
            schemas.hold(name, json.loads(place.read_text()))
            if place.name == "run.json":
                can_be_read(place.parent)
        answer = Answer(code, *capsys.readouterr())
        if schemas.prints_json(words):
            schemas.hold_answer(words, answer.document)
        return answer

    return call


def can_be_read(path: Path) -> None:
    """What edgett wrote it does not call damaged."""
    asked = record.begun(path)
    if asked.get("outcome") is not None:
        record.finished(path, asked)


@pytest.fixture(scope="session")
def mlperf() -> Path:
    """The folder of MLPerf Tiny's trained networks."""
    if not os.environ.get("EDGETT_TEST_MODELS"):
        pytest.skip("EDGETT_TEST_MODELS names no folder with MLPerf Tiny's models")
    return Path(os.environ["EDGETT_TEST_MODELS"])
