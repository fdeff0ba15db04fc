"""The [instructions] table of a profile: as text and back, and what is said of mistakes in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edgett.errors import ProfileError, UsageError
from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.graph.instructions import Instructions, Rates
from edgett.search.constraints import Objective
from edgett.target.counted import toml
from edgett.target.estimate import basis
from edgett.target.fields import describe
from edgett.target.places import profile_files, search_folders
from edgett.target.profile import Target, load_profile, load_target, override, with_dtype
from edgett.workflow import profile_file
from tests.conftest import Answer

FOUND = Instructions(
    7.0, {"row_int8": Rates(macs=1.03, outputs=17.0), "lookup_int8": Rates(outputs=5.0), "view": Rates()}
)
SHIPPED = [path.stem for path in profile_files(search_folders())]


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    table = toml(FOUND, "QEMU, somewhere")
    text = profile_file.text_of("cortex-m4").replace('dtype = "float32"', 'dtype = "int8"')
    profile_file.write(path, text, profile_file.INSTRUCTIONS, table)
    return path


def compiled(target: Target) -> Target:
    return target.model_copy(update={"runtime": target.runtime.model_copy(update={"format": Format.C})})


def test_rates_survive_and_nothing_else_changes(profile: Path) -> None:
    mine, shipped = load_profile(profile), with_dtype(load_target("cortex-m4"), DType.INT8)
    assert mine.rates == FOUND
    assert mine.model_copy(update={"instructions": None, "name": ""}) == shipped.model_copy(
        update={"instructions": None, "name": ""}
    )
    assert profile.read_text().count("[instructions]") == profile.read_text().count("[instructions.kernels]") == 1


def test_counted_again_the_table_is_replaced(profile: Path) -> None:
    profile_file.write(
        profile, profile.read_text(), "instructions", toml(Instructions(9.0, {"row_int8": Rates(1.0)}), "later")
    )
    assert load_profile(profile).rates == Instructions(9.0, {"row_int8": Rates(1.0)})
    assert "somewhere" not in profile.read_text()


def test_they_hold_where_c_runs_alone(profile: Path) -> None:
    """A processor with Linux has a runtime, unless its profile says that it runs C."""
    mine = load_profile(profile)
    linux = mine.model_copy(update={"device": load_target("cortex-a53").device})
    assert linux.rates is None and compiled(linux).rates == FOUND
    assert load_target("host").rates is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("start = 7", "start = -1", "instructions.start is -1"),
        ("start = 7", "", "instructions.start is missing"),
        ('counted = "QEMU, somewhere"', 'counted = ""', "instructions.counted"),
        ("macs = 1.03", "macs = nan", "instructions.kernels.row_int8.macs"),
        ("macs = 1.03", "mac = 1.03", "instructions.kernels.row_int8.mac is unknown"),
        ("macs = 1.03", 'macs = "1"', "instructions.kernels.row_int8.macs"),
        ("lookup_int8 = {outputs = 5}", "lookup_int8 = 5", "instructions.kernels.lookup_int8 is 5"),
    ],
)
def test_mistakes_name_the_key(profile: Path, old: str, new: str, words: str) -> None:
    text = profile.read_text()
    assert old in text
    profile.write_text(text.replace(old, new))
    with pytest.raises(ProfileError, match=re.escape(words)):
        load_profile(profile)
    assert profile_file.loaded(str(profile)).rates is None, "to be counted again"


def test_a_type_of_number_that_was_not_counted_has_none(profile: Path) -> None:
    """The shipped profile of a processor without an FPU is of float32, and says what it did before."""
    assert with_dtype(load_profile(profile), DType.FLOAT32).rates is None
    pico = load_target("rp2040")
    assert pico.runtime.dtype is DType.FLOAT32 and pico.rates is None and "only estimated" in " ".join(basis(pico))
    assert with_dtype(pico, DType.INT8).rates is not None
    with pytest.raises(UsageError, match=r"\[latency\] table"):
        override(pico, objective="latency")


def test_latency_is_an_objective_and_milliseconds_are_no_budget(profile: Path) -> None:
    mine = load_profile(profile)
    assert override(mine, objective="latency").budget.objective is Objective.LATENCY
    with pytest.raises(UsageError, match=r"\[latency\] table"):
        override(mine, latency_ms=3.0)
    with pytest.raises(UsageError, match=r"\[latency\] table"):
        override(load_target("cortex-a53"), objective="latency")


def test_shown_in_a_line(profile: Path, edgett: Callable[..., Answer]) -> None:
    rows = {row.key: row.value for row in describe(load_profile(profile))}
    assert rows["instructions.kernels"] == "3 tables" and rows["instructions.counted"] == "QEMU, somewhere"
    said = edgett("targets", "show", "cortex-m4")
    assert said.code == 0 and "instructions.kernels" in said.out


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_was_counted_where_there_is_an_emulator(name: str) -> None:
    target = load_target(name)
    able = target.device.emulator in ("qemu-system-arm", "qemu-arm", "qemu-aarch64", "qemu-riscv64")
    assert (target.instructions is not None) == able
    if target.instructions is not None:
        assert target.instructions.counted.startswith("QEMU ")
        assert {"row_int8", "rows_int8", "lookup_int8"} <= target.instructions.kernels.keys()
