"""Benchmarks in terminals of any width: names fold, then bars go, then tables become lists; nothing is lost."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from edgett.report import bench

NAMES = ("baseline", "recommended", "runs/lat1/highest_accuracy-of-all.tflite")
RATIOS = (None, {"value": 0.4781, "low": 0.4652, "high": 0.5063}, {"value": 0.985, "low": 0.953, "high": 1.01})
STATE = {"governor": "powersave", "mhz": 1500.0, "celsius": 41.0}
DEVICE = {
    "name": "local", "processor": "Some Processor", "architecture": "aarch64", "system": "Linux 6.1", "threads": 1,
    "pinned": [3], "before": STATE, "after": STATE, "target": "cortex-a53", "emulator": "QEMU 7.2",
}  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "device": DEVICE,
    "artifacts": [
        {
            "name": name, "median_us": 12345.0 / (index + 1), "p90_us": 1126.0, "p99_us": 1134.0, "bytes": 73400,
            "ratio": ratio, "verdict": ("baseline", "faster", "noise")[index], "runtime": "ai-edge-litert 2.3.0",
            "peak_bytes": 45500000, "added_bytes": 11100000, "agreement": {"max_abs": 1.2e-7, "top1": 0.984},
            "runs": 1825, "instructions": 123456789,
        }
        for index, (name, ratio) in enumerate(zip(NAMES, RATIOS, strict=True))
    ],
}  # fmt: skip
EMULATED = DOCUMENT | {"artifacts": [one | {"ratio": None} for one in DOCUMENT["artifacts"]]}
SPEEDS = {
    "start": 0.728, "operator": 0.0317, "transpose": 0.0712, "mac": 1.64e-5, "columns": 8,
    "streams": [[262144, 1.2e-5], [2097152, 0.0]], "windows": [[9, 2.5e-4], [25, 0.0]],
}  # fmt: skip
CALIBRATED = {"measured": "local, Some Processor, 2026-01-01", "probes": 122, "speeds": SPEEDS, "median_error": 0.024,
              "p90_error": 0.081}  # fmt: skip


def shown(drawn: Any, width: int) -> str:
    file = io.StringIO()
    Console(width=width, file=file).print(drawn)
    return file.getvalue()


def plain(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("width", [200, 100, 80, 72, 60, 50, 40, 30])
class TestWidths:
    def test_times_and_sizes(self, width: int) -> None:
        text = shown(bench.drawn(DOCUMENT), width)
        assert "…" not in text
        assert all(len(line) <= width for line in text.splitlines())
        told = ["12.3 ms", "6.17 ms", "4.12 ms", "1.13 ms", "73.4 KB", "45.5 MB", "11.1 MB", "98.4%", "1.2e-07"]
        told += ["median", "p90", "p99", "file", "memory", "of it", "added", "top", "class", "error"]
        for words in told:
            assert words in text
        for words in ("0.478 [0.465, 0.506]", "0.985 [0.953, 1.01]  noise", "x the", "first"):
            assert plain(words) in plain(text)

    def test_names(self, width: int) -> None:
        text = shown(bench.drawn(DOCUMENT), width)
        for name in NAMES:
            whole = name in text or name in plain(text)
            # Folded in a table, its parts stand in the first column below each other.
            parts = [line.split("  ")[0].strip() for line in text.splitlines()]
            assert whole or name in "".join(parts)

    def test_instructions(self, width: int) -> None:
        text = shown(bench.counted(EMULATED), width)
        assert "…" not in text
        for words in ("123,456,789", "instructions", "x the", "first", "73.4 KB", "98.4%", "no times"):
            assert plain(words) in plain(text)

    def test_speeds(self, width: int) -> None:
        text = shown(bench.calibrated(CALIBRATED), width)
        assert "…" not in text
        assert all(len(line) <= width for line in text.splitlines())
        for words in ("0.728", "0.0317", "0.0712", "G/s", "GB/s", "2.4%", "8.1%"):
            assert words in text
        assert text.count("depthwise") == 2
        if width >= 100:
            (nine, more) = (line for line in text.splitlines() if "depthwise" in line)
            assert "9 taps" in nine and " 4 G/s" in nine
            assert "25 taps" in more and "as they are fed" in more


def test_names_fold_then_the_bar_goes_then_it_is_a_list() -> None:
    wide, middle, narrow, least = (shown(bench.drawn(DOCUMENT), width) for width in (120, 90, 72, 50))
    assert "█" in wide and NAMES[2] in wide
    assert "█" in middle and NAMES[2] not in middle.split("file")[0] and "─" in middle
    assert "█" not in narrow and NAMES[2] not in narrow.split("file")[0] and "─" in narrow
    assert "─" not in least and NAMES[2] in least
