"""C that rebuilds weights from factors: the codes of C that stores them, less flash and more RAM, as foretold."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgett.errors import ToolError
from edgett.export import c
from edgett.export.c import CSource
from edgett.forms.integers import Rebuilding
from edgett.graph.c_size import file_bytes
from edgett.graph.c_view import compiled_bytes
from edgett.graph.rebuilt import RebuildRoom
from edgett.workflow.files import Style, batches, predicted, write
from tests.export.compiled import LEVELS, STRICT, Built, written
from tests.firmware.tools import needs
from tests.model.test_held import HeldModel, held


@pytest.fixture(scope="module")
def model() -> HeldModel:
    return held()


@pytest.fixture(scope="module")
def style() -> Style:
    x = np.random.default_rng(6).normal(size=(16, 8, 8, 3)).astype(np.float32)
    return Style(1, batches({"x": x}, 1))


@pytest.fixture(scope="module")
def path(model: HeldModel, style: Style, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (made,) = write(model.model, style, tmp_path_factory.mktemp("held") / "net", (".onnx",))
    return made


def library(source: CSource, folder: Path, level: str = "-O2") -> Built:
    command = ["gcc", *STRICT, level, "-fPIC", "-shared", f"-I{folder}", str(written(source, folder)), "-lm"]
    place = folder / f"{source.name}{level}.so"
    subprocess.run([*command, "-o", str(place)], check=True)
    return Built(place, source, ctypes.CDLL(str(place)))


@needs("gcc")
@pytest.mark.parametrize("level", [LEVELS[2], *(pytest.param(level, marks=pytest.mark.slow) for level in LEVELS)])
def test_it_gives_the_codes_of_stored_weights(model: HeldModel, path: Path, tmp_path: Path, level: str) -> None:
    stored = library(c.generate(path, "stored", "1"), tmp_path, level)
    rebuilt = library(c.generate(path, "rebuilt", "1", model.rebuilt), tmp_path, level)
    for inputs in stored.samples(20):
        expected, found = stored.run(inputs), rebuilt.run(inputs)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
            assert np.ptp(array) > 0
    assert rebuilt.source.code.count("_rebuilt(") == 2 + len(model.rebuilt)  # two functions, and the calls


def test_flash_and_ram_are_as_foretold(model: HeldModel, path: Path, style: Style) -> None:
    rooms = {layer: RebuildRoom.of(made) for layer, made in model.rebuilt.items()}
    graph = predicted(model.model, ".onnx", style).holding(rooms)
    stored, rebuilt = (c.generate(path, "net", "1", held) for held in (None, model.rebuilt))
    assert rebuilt.weight_bytes == file_bytes(graph) == c.constant_bytes(path, model.rebuilt)
    used = rebuilt.workspace_bytes + sum(port.bytes for port in (*rebuilt.inputs, *rebuilt.outputs))
    assert used <= compiled_bytes(graph, 1) <= 1.05 * used
    assert rebuilt.weight_bytes < stored.weight_bytes
    assert rebuilt.workspace_bytes > stored.workspace_bytes + max(room.weight for room in rooms.values()) // 2


def test_a_weight_that_is_another_is_refused(model: HeldModel, path: Path) -> None:
    made = model.rebuilt["wide"]
    first, *others = made.stages
    codes = first.matrices.copy()
    codes.flat[0] ^= 64
    wrong = Rebuilding((replace(first, matrices=codes), *others), made.roundings, made.columns, made.unit)
    with pytest.raises(ToolError, match="no int8 product or convolution has the weight of wide") as raised:
        c.generate(path, "net", "1", model.rebuilt | {"wide": wrong})
    assert raised.value.cure == "Leave out --hold factors."
