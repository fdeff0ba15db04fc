"""Ten networks as people put on microcontrollers, and MLPerf Tiny's four, go through `edgett deploy`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgett.workflow import pack
from tests.firmware import chips
from tests.firmware.tools import needs

pytestmark = pytest.mark.slow

NETWORKS = (
    "autoencoder", "ds-cnn", "mobilenet", "resnet", "lstm", "gru", "transformer", "cnn-lstm", "four-inputs",
    "embeddings",
)  # fmt: skip
UNRULED = {"lstm", "gru", "transformer", "cnn-lstm", "embeddings"}
"""In which a layer has no rule."""
MLPERF = ("ad01.h5", "pretrainedResnet.h5", "str_ww_ref_model.h5", "vww_96.h5")
WIDE = ("--model-bytes", "512 KiB", "--peak", "128 KiB", "--max-drop", "100")
"""Budgets that all of them hold: what they lose on random inputs tells nothing."""


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "gallery.py"
    spec = importlib.util.spec_from_file_location("gallery", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules["gallery"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def proved(run: Path, folder: Path) -> None:
    """Its C says on an emulated Cortex-M4 what the artefact says."""
    pack.pack(run, folder / "net", pack.PackRequest(name="net"))
    elf = chips.build([folder / "net"], chips.M4, folder / "build", 4 * 1024 * 1024, 1024 * 1024)
    assert chips.run(elf, chips.M4).passed


def test_the_gallery_is_whole(gallery: ModuleType) -> None:
    assert tuple(gallery.GALLERY) == NETWORKS


@needs(*chips.M4.programs)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_deployed(gallery: ModuleType, name: str, tmp_path: Path) -> None:
    exhibit, out = gallery.GALLERY[name], tmp_path / "run"
    document = gallery.deploy(*exhibit.make(tmp_path, name), exhibit.dtype, out)

    assert document["exit"] == 0, document.get("error")
    assert document["check"]["ok"] and document["picks"]["recommended"]["solution"] == -1
    verdicts = {item["verdict"] for item in document["check"]["artifacts"].values()}
    assert verdicts == {"partial" if name in UNRULED else "ok"}
    assert bool(document["partial"]) == (name in UNRULED)
    if exhibit.classes:
        (score,) = document["baseline"]["accuracy"]
        assert score["value"] >= 0.9
    assert gallery.row(name, exhibit.dtype, out, document).startswith(f"| {name} |")
    if name not in UNRULED:
        proved(out, tmp_path)


@needs(*chips.M4.programs)
@pytest.mark.parametrize("name", MLPERF)
def test_mlperf_tiny_is_deployed(gallery: ModuleType, mlperf: Path, name: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    document = gallery.deploy(mlperf / name, gallery.drawn(mlperf / name, tmp_path), "int8", out, WIDE)

    assert document["exit"] == 0, document.get("error")
    assert all(item["verdict"] == "ok" for item in document["check"]["artifacts"].values())
    proved(out, tmp_path)
