"""Units that rebuild weights, run by Icarus Verilog against Python, looked at by Verilator and Yosys."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgett.export.verilog.units import RebuildUnit, files, units
from edgett.forms.convolution.cp import CP
from edgett.forms.integers import quantised
from edgett.forms.spec import Factors, Spec
from edgett.forms.stages import cycles, entries
from edgett.forms.svd import SVDShape
from edgett.forms.tt.shape import TTShape, tt_shape
from edgett.forms.window import Window
from tests.firmware.tools import needs
from tests.forms.test_stages import PRODUCTS

SLOW = CP(Window((3, 3), (5, 6)), 16, 4, 24)
"""Its rank is more than what it writes."""


def factors(spec: Spec, seed: int = 0) -> Factors:
    random = np.random.default_rng(seed)
    return tuple(random.normal(size=shape).astype(np.float32) for shape in spec.factors)


def write(folder: Path, **layers: Spec) -> tuple[RebuildUnit, ...]:
    made = units({name: (spec, factors(spec)) for name, spec in layers.items()})
    for name, text in files(made, "a model", "1").items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)
    return made


def make(folder: Path, goal: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-s", "-k", goal], cwd=folder, capture_output=True, text=True)


@needs("iverilog", "make")
class TestAgainstPython:
    """The testbench compares every weight, and the cycles with those that were predicted."""

    def test_every_form_bit_by_bit(self, tmp_path: Path) -> None:
        made = write(tmp_path, **{f"l{place}": spec for place, spec in enumerate((*PRODUCTS, SLOW))})
        done = make(tmp_path, "test")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines().count("PASS") == len(made) and not done.stderr
        for unit in made:
            told = f"{unit.count} weights, the first after {unit.latency} cycles, the last {unit.cycles} later"
            assert f"{unit.name}: {told}" in done.stdout

    @given(
        st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9)), min_size=2, max_size=5),
    )
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_trains_of_any_shape_and_ranks(self, tmp_path: Path, parts: list[tuple[int, int, int]]) -> None:
        inputs, outputs, ranks = zip(*parts, strict=True)
        shutil.rmtree(tmp_path)
        write(tmp_path, fc=TTShape(inputs, outputs, (1, *ranks[1:], 1)))
        assert "PASS" in make(tmp_path, "test").stdout.splitlines()

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_one_wrong_bit_of_a_rom_is_caught(self, tmp_path: Path, place: int) -> None:
        (unit,) = write(tmp_path, fc=tt_shape((4, 3, 4), (3, 4, 4), 5))
        rom = tmp_path / unit.name / f"factor_{place}.hex"
        text = rom.read_text()
        rom.write_text(f"{int(text[0], 16) ^ 4:x}{text[1:]}")
        done = make(tmp_path, "test")
        assert done.returncode != 0 and "FAIL: " in done.stdout and "PASS" not in done.stdout
        assert re.search(r"^weight \d+ is -?\d+, not -?\d+$", done.stdout, re.MULTILINE)

    @pytest.mark.parametrize(
        ("right", "wrong", "told"),
        [
            ("scaled + HALF", "scaled", "weight "),  # it rounds down
            (">>> SHIFT", ">> SHIFT", "weight "),  # and without the sign
            ("held <= in_vector", "held <= in_vector >> 1", "weight "),
            ("(go && whole) || (out_valid && !out_ready)", "go && whole", "weight"),  # it forgets what was not taken
            ("if (go) full <= {full[DEPTH+2:0], read};", "if (go) full <= {full[DEPTH+2:0], 1'b1};", "weight"),
        ],
    )  # fmt: skip
    def test_a_wrong_part_is_caught(self, tmp_path: Path, right: str, wrong: str, told: str) -> None:
        write(tmp_path, fc=tt_shape((4, 3, 4), (3, 4, 4), 5))
        part = tmp_path / "edgett_stage.v"
        assert right in part.read_text()
        part.write_text(part.read_text().replace(right, wrong))
        done = make(tmp_path, "test")
        assert done.returncode != 0 and "FAIL: " in done.stdout and told in done.stdout

    def test_other_cycles_than_predicted_are_caught(self, tmp_path: Path) -> None:
        (unit,) = write(tmp_path, fc=SVDShape(8, 6, 3))
        bench = tmp_path / unit.name / f"{unit.name}_test.v"
        bench.write_text(bench.read_text().replace(f"LATENCY = {unit.latency}", f"LATENCY = {unit.latency + 1}"))
        done = make(tmp_path, "test")
        assert done.returncode != 0 and f"predicted: after {unit.latency + 1} cycles" in done.stdout


@needs("verilator", "make")
def test_nothing_to_complain_of(tmp_path: Path) -> None:
    write(tmp_path, **{f"l{place}": spec for place, spec in enumerate((*PRODUCTS, SLOW))})
    done = make(tmp_path, "lint")
    assert done.returncode == 0 and not done.stdout and not done.stderr, done.stderr


@needs("yosys", "make")
def test_it_becomes_gates_and_roms(tmp_path: Path) -> None:
    (unit,) = write(tmp_path, fc=SVDShape(24, 16, 2))
    done = make(tmp_path, "cells")
    assert done.returncode == 0, done.stderr
    log = (tmp_path / unit.name / "cells.log").read_text()
    assert int(re.search(r"\$mem_v2 +(\d+)", log)[1]) == 2  # type: ignore[index]
    assert int(re.search(r"Number of cells: +(\d+)", log)[1]) > 500  # type: ignore[index]
    assert not re.search(r"\$_DLATCH|\$mul|\$add", log)


def test_only_a_rank_above_what_is_behind_it_costs_cycles() -> None:
    """Whatever the length of the train."""
    for spec in (tt_shape((2,) * length, (3,) * length, 8) for length in range(2, 6)):
        (unit,) = units({"fc": (spec, factors(spec))})
        assert unit.cycles + 1 == unit.count
    (slow,) = units({"conv": (SLOW, factors(SLOW))})
    stages = quantised(SLOW.stages(factors(SLOW))).stages
    assert slow.cycles == cycles(stages) > 5 * entries(stages)


def test_names_are_those_of_verilog_and_of_nobody_else(tmp_path: Path) -> None:
    spec = SVDShape(4, 4, 2)
    made = units({name: (spec, factors(spec)) for name in ("a/b", "a b", "endmodule", "|`\n*/")})
    assert [unit.name for unit in made] == ["rebuild_a_b", "rebuild_a_b_2", "rebuild_endmodule", "rebuild"]
    readme = files(made, "m\n| x |", "1")["README.md"]
    assert "| `rebuild` | \\|\\`\N{REPLACEMENT CHARACTER}\\*/ | SVD 4 -> 2 -> 4 |" in readme
    assert "of m\N{REPLACEMENT CHARACTER}\\| x \\|." in readme


def test_what_rounding_costs_is_told() -> None:
    spec = SVDShape(40, 30, 6)
    (unit,) = units({"fc": (spec, factors(spec))})
    dense = spec.dense(factors(spec))
    off = unit.rebuilding.steps * unit.rebuilding.codes().reshape(40, 30) - dense
    assert unit.error == pytest.approx(np.linalg.norm(off) / np.linalg.norm(dense)) and 0.001 < unit.error < 0.03
