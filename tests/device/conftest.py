"""Artefacts to measure, and machines behind ssh to measure them on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgett.device.bench import Subject
from edgett.system.folders import lasting
from tests.device import sshd
from tests.device.measuring import TOOLS
from tests.export import exported as zoo


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    made = [zoo.exported("tensor trains", suffix, 1) for suffix in (".tflite", ".onnx")]
    inputs = made[0].samples(5)
    return [Subject(one.path, inputs) for one in made]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the runner makes its folders and its lock, here and behind ssh; other tests may measure meanwhile."""
    folder = tmp_path_factory.mktemp("there")
    lasting()  # that of this process, which stays as long as it does, lies elsewhere
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        yield folder
    tempfile.tempdir = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, there: Path) -> Iterator[sshd.Server]:
    with sshd.serving(tmp_path_factory.mktemp("sshd"), f"SetEnv TMPDIR={there}\n") as running:
        yield running


@pytest.fixture(scope="module")
def poor(tmp_path_factory: pytest.TempPathFactory, there: Path) -> Iterator[sshd.Server]:
    """A machine with what every small Linux has, and no Python."""
    tools = tmp_path_factory.mktemp("tools")
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name) or name)
    with sshd.serving(tmp_path_factory.mktemp("poor"), f"SetEnv TMPDIR={there} PATH={tools}\n") as running:
        yield running
