"""The small kernels, and which nodes they take."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.export.kernels import every
from tests.export.kernels.harness import NAMES, Case, bits, built, ran
from tests.export.kernels.test_product import WAYS as BOTH
from tests.firmware.tools import needs


@pytest.mark.parametrize("way", BOTH)
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_sums(way: str, times: int, period: int, seed: int) -> None:
    """As QLinearAdd is defined, one rounding in float32 after the other."""
    draw = np.random.default_rng(seed)
    one, two = draw.integers(-128, 128, times * period), draw.integers(-128, 128, period)
    zeros, scales = [int(zero) for zero in draw.integers(-128, 128, 3)], draw.uniform(1e-3, 1, 3).astype("f4")
    numbers = [times * period, period, *zeros, *bits(*scales)]
    (found,) = ran(way, [Case("add", numbers, [one.astype("i1"), two.astype("i1")], one.shape)])

    first = (one - zeros[0]).astype("f4") * scales[0]
    second = np.tile((two - zeros[1]).astype("f4") * scales[1], times)
    scaled = (first + second) / scales[2] + np.float32(zeros[2])
    np.testing.assert_array_equal(found, np.clip(np.rint(scaled), -128, 127).astype("i1"))


@pytest.mark.parametrize("way", BOTH)
def test_tables(way: str) -> None:
    every, table = np.arange(-128, 128).astype("i1"), np.random.default_rng(3).integers(-128, 128, 256).astype("i1")
    (found,) = ran(way, [Case("lookup", [256], [every, table], (256,))])
    np.testing.assert_array_equal(found, table)


@pytest.mark.parametrize("way", BOTH)
def test_softmax(way: str) -> None:
    x, scale, made, zero = np.random.default_rng(4).integers(-128, 128, (5, 7)), 0.1, 1 / 256, -128
    (found,) = ran(way, [Case("softmax", [5, 7, *bits(scale, made), zero], [x.astype("i1")], (5, 7))])

    powers = np.exp((x - x.max(axis=1, keepdims=True)) * scale)
    expected = np.clip(np.rint(powers / powers.sum(axis=1, keepdims=True) / made) + zero, -128, 127)
    assert np.abs(found - expected).max() <= 1


@needs("arm-linux-gnueabihf-gcc", "qemu-arm")
def test_dsp_instructions_are_there() -> None:
    """Or else both kinds of C would be one."""
    code = built("dsp").read_bytes()
    # smlad r10, lr, r5, r4 as Thumb-2 has it.
    assert bytes.fromhex("2efb054a") in code


@needs("arm-linux-gnueabihf-gcc", "qemu-arm")
def test_a_compiler_that_does_not_optimise_gives_the_same() -> None:
    draw = np.random.default_rng(5)
    x, other = draw.integers(-128, 128, 64).astype("i1"), draw.integers(-128, 128, 16).astype("i1")
    case = Case("add", [64, 16, 3, -4, 5, *bits(0.02, 0.03, 0.04)], [x, other], (64,))
    one, two = (ran(way, [case])[0] for way in ("dsp", "dsp, unoptimised"))
    np.testing.assert_array_equal(one, two)


CORTEX = ("arm-none-eabi-gcc", "-mthumb")
HARD = "-mfloat-abi=hard"
PROCESSORS = {
    "this": ("gcc",),
    "cortex-m0plus": (*CORTEX, "-mcpu=cortex-m0plus"),
    "cortex-m3": (*CORTEX, "-mcpu=cortex-m3"),
    "cortex-m4 without FPU": (*CORTEX, "-mcpu=cortex-m4"),
    "cortex-m4": (*CORTEX, "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", HARD),
    "cortex-m55": (*CORTEX, "-mcpu=cortex-m55", HARD),
    "rv32imc": ("riscv64-unknown-elf-gcc", "--specs=picolibc.specs", "-march=rv32imc", "-mabi=ilp32"),
    "aarch64": ("aarch64-linux-gnu-gcc",),
    "aarch64 before GCC 12": ("aarch64-linux-gnu-gcc", "-Dt_VECTORS=0"),
    "aarch64 without vectors": ("aarch64-linux-gnu-gcc", "-march=armv8-a+nosimd"),
    "aarch64 with dot products": ("aarch64-linux-gnu-gcc", "-march=armv8.2-a+dotprod"),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(one[0])) for name, one in PROCESSORS.items()])
def test_every_kernel_by_itself_compiles_without_a_warning(name: str, tmp_path: Path) -> None:
    """A model may have any of them alone; what it has no use for then must not be complained of."""
    for kernel in NAMES:
        includes, code = every.text([kernel], "t")
        head = "\n".join(f"#include <{one}>" for one in sorted({*includes, "stdint.h", "stddef.h"}))
        (tmp_path / "k.c").write_text(
            f"{head}\n{code}\nvoid *go(void);\nvoid *go(void) {{ return (void *)t_{kernel}; }}\n"
        )
        command = [*PROCESSORS[name], "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-S", "k.c", "-o", "k.s"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, (kernel, done.stderr)
