"""Kernels called with cases of all sizes: as plain C on this machine, and with DSP instructions on an emulated Arm."""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.export.kernels import every, product
from edgett.export.kernels.kernel import Words

HERE = Path(__file__).parent
FOLDER = tempfile.TemporaryDirectory()
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
STRICT = ("-std=gnu99", "-Wall", "-Wextra", "-Werror")
ARM64 = ("aarch64-linux-gnu-gcc", "-static", "-O2")
ARM = ("arm-linux-gnueabihf-gcc", "-mcpu=cortex-a7", "-mfpu=vfpv4", "-mthumb", "-static")


def without(*what: str) -> tuple[str, ...]:
    """What a processor is told not to have."""
    return tuple(f"-D{name}_{one}" for name in ("t", "net") for one in what)


WAYS = {
    "plain": (("gcc", "-O1", "-g", *SANITIZED), ()),
    "without FPU": (("gcc", "-O1", "-g", *SANITIZED, *without("FIXED=1", "VECTORS=0")), ()),
    "any byte order": (("gcc", "-O1", "-g", *SANITIZED, *without("LITTLE=0", "VECTORS=0")), ()),
    "dsp": ((*ARM, "-O2"), ("qemu-arm",)),
    "dsp, unoptimised": ((*ARM, "-O0"), ("qemu-arm",)),
    "neon": (ARM64, ("qemu-aarch64", "-cpu", "cortex-a53")),
    "dot": ((*ARM64, "-march=armv8.2-a+dotprod"), ("qemu-aarch64", "-cpu", "max")),
    "thumb": ((*ARM, "-O2", *without("DSP=0", "FIXED=1", "VECTORS=0")), ("qemu-arm",)),
}
"""Compilers, and what runs their programs."""

NAMES = (
    "product_int8", "product_wide", "product_float", "convolution_int8", "convolution_wide",
    "convolution_float", "depthwise_int8",
    "depthwise_float", "add", "lookup", "softmax", "fused_int8", "fused_float", "maxima_int8", "maxima_float",
    "averages_int8", "averages_float",
)  # fmt: skip
_CALLS = {
    "product_int8": "(int8_t *)in, (int8_t *)made, scratch, room, (uint32_t *)a[1], (const t_product *)n",
    "product_wide": "(int8_t *)in, (int8_t *)made, (int8_t *)a[1], S, F, (const t_product *)n",
    "product_float": "(float *)in, (float *)made, (float *)a[1], room ? (float *)a[2] : 0, (const t_product *)n",
    "convolution_int8": "(int8_t *)in, (int8_t *)made, scratch, room, (uint32_t *)a[1], (const t_window *)n",
    "convolution_wide": "(int8_t *)in, (int8_t *)made, scratch, (int8_t *)a[1], S, F, (const t_window *)n",
    "convolution_float": "(float *)in, (float *)made, (float *)scratch, (float *)a[1], (float *)a[2],"
    " (const t_window *)n",
    "depthwise_int8": "(int8_t *)in, (int8_t *)made, scratch, (int8_t *)a[1], S, F, (const t_window *)n",
    "depthwise_float": "(float *)in, (float *)made, (float *)scratch, (float *)a[1], (float *)a[2],"
    " (const t_window *)n",
    "add": "(int8_t *)in, (int8_t *)made, (int8_t *)a[1], (const t_sum *)n",
    "lookup": "(int8_t *)in, (int8_t *)made, (int8_t *)a[1], n[0]",
    "fused_int8": "(int8_t *)in, (int8_t *)made, scratch, room, (uint32_t *)a[1], (uint32_t *)a[2], (const t_fused *)n",
    "fused_float": "(float *)in, (float *)made, (float *)scratch, (float *)a[1], (float *)a[2], 0, (const t_fused *)n",
    "maxima_int8": "(int8_t *)in, (int8_t *)made, (const t_window *)n",
    "maxima_float": "(float *)in, (float *)made, (const t_window *)n",
    "averages_int8": "(int8_t *)in, (int8_t *)made, n[20], *(float *)&n[21], (const t_window *)n",
    "averages_float": "(float *)in, (float *)made, n[20], *(float *)&n[21], (const t_window *)n",
    "softmax": "(int8_t *)in, (int8_t *)made, n[0], n[1], *(float *)&n[2], *(float *)&n[3], n[4]",
}


@dataclass(frozen=True)
class Case:
    """A call: whole numbers in the order of the kernel's struct, its arrays, the input first, and its output.

    `room`: bytes of scratch; `over`: whether the output goes where the input is.
    """

    kernel: str
    numbers: Sequence[int]
    arrays: Sequence[NDArray[Any] | Words]
    made: tuple[int, ...]
    dtype: str = "i1"
    room: int = 0
    over: bool = False

    def stored(self, way: str) -> bytes:
        """As cases.c reads it."""
        size = int(np.prod(self.made)) * np.dtype(self.dtype).itemsize
        flat = [made_by(way, one) if isinstance(one, Words) else one for one in self.arrays]
        arrays = [*(np.ascontiguousarray(one).tobytes() for one in flat), *[b""] * (4 - len(self.arrays))]
        parts = [_whole(NAMES.index(self.kernel), len(self.numbers), *self.numbers)]
        parts += [_whole(len(one)) + one for one in arrays]
        return b"".join([*parts, _whole(self.room, size, int(self.over))])


def words(columns: NDArray[np.int8], starts: NDArray[np.int64], factors: NDArray[np.float32]) -> Words:
    """What an int8 product reads: weights (columns, inner), where sums begin, and by what they become codes."""
    numbers = columns, starts, factors
    return Words(product.packed(*numbers), functools.partial(product.written, *numbers))


_LINE = re.compile(r"(?:NAME_(\w+)\((.*)\)|(?:\(uint32_t\))?(.*))")


def made_by(way: str, given: Words) -> NDArray[Any]:
    """What the macros of a kind of C make: for assembly as Python has it, on 64-bit Arm four inputs of a column are one
    word, elsewhere one input of four columns."""
    if way.startswith(("dsp", "thumb")):
        return given.words
    found = bytearray()
    for line in given.text().split(",\n"):
        name, inside, alone = _LINE.fullmatch(line.strip()).groups()  # type: ignore[union-attr]
        values = np.array([int(one.rstrip("u"), 0) for one in (inside or alone).split(",")], np.int64)
        if name == "FOUR" and way not in ("neon", "dot"):
            values = values.reshape(4, 4).T
        found += values.astype(np.int8 if name in ("FOUR", "REST", "BYTES") else np.uint32).tobytes()
    return np.frombuffer(bytes(found), np.uint32)


def _whole(*numbers: int) -> bytes:
    return np.array(numbers, np.int64).astype(np.int32).tobytes()


def bits(*values: float) -> list[int]:
    """Numbers in float32 as whole ones of the same bits."""
    return [int(value) for value in np.array(values, np.float32).view(np.int32)]


def ran(way: str, cases: Sequence[Case]) -> list[NDArray[Any]]:
    """What the kernels make of cases."""
    program, (_, emulator) = built(way), WAYS[way]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "cases.bin").write_bytes(_whole(len(cases)) + b"".join(case.stored(way) for case in cases))
        subprocess.run([*emulator, program], cwd=folder, check=True, timeout=120)
        made = Path(folder, "outputs.bin").read_bytes()
    found, at = [], 0
    for case in cases:
        count = int(np.prod(case.made))
        found.append(np.frombuffer(made, case.dtype, count, at).reshape(case.made))
        at += found[-1].nbytes
    assert at == len(made)
    return found


@functools.cache
def built(way: str) -> Path:
    """The program of a way."""
    includes, text = every.text(NAMES, "t")
    calls = "\n".join(f"    if (kind == {index}) {{ t_{name}({_CALLS[name]}); }}" for index, name in enumerate(NAMES))
    head = "\n".join(f"#include <{name}>" for name in sorted({*includes, "stdint.h", "stddef.h", "string.h"}))
    source = Path(FOLDER.name, f"{way.replace(' ', '_').replace(',', '')}.c")
    source.write_text(
        f"{head}\n{text}\n#define S (int32_t *)a[2]\n#define F (float *)a[3]\n"
        "static void call(int32_t kind, int32_t *n, uint8_t **a, uint8_t *made, uint8_t *place, int32_t room) {\n"
        f"    uint8_t *const in = a[0];\n    int8_t *const scratch = (int8_t *)place;\n{calls}\n}}\n"
        + (HERE / "cases.c").read_text()
    )
    compiler, _ = WAYS[way]
    subprocess.run(
        [*compiler, *STRICT, "-fno-strict-aliasing", source, "-lm", "-o", source.with_suffix("")], check=True
    )
    return source.with_suffix("")


def codes(sums: NDArray[Any], scale: Any, zero: int) -> NDArray[np.int8]:
    """Whole sums as the codes that stand for them, by exact arithmetic and one rounding in float32 each."""
    scaled = np.rint(sums.astype(np.float32) * np.asarray(scale, np.float32))
    return np.clip(scaled.astype(np.float64) + zero, -128, 127).astype(np.int8)
