"""Files that were damaged or made to do damage: whatever is read, there is a result or an error in the user's words.

A case is drawn from the seed, its kind and its number alone. EDGETT_FUZZ_SEED=S draws others; a case that fails tells
how to have it alone. CI looks at as many as take about two minutes, the same ones every time.
"""

from __future__ import annotations

import copy
import io
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from edgett.device import local
from edgett.errors import EdgettError
from edgett.export import c, onnx, tflite, tflm
from edgett.export.owners import Owners
from edgett.firmware import elf
from edgett.job.job import load_project, resolve
from edgett.report import checks, facts, markdown, page, reports, terminal
from edgett.run import session
from edgett.target.profile import load_profile, load_target
from edgett.workflow import pack, timing
from tests.conftest import Finished
from tests.export.compiled import templates_are_compiled_once  # noqa: F401
from tools.regolden import FOLDER

SEED = int(os.environ.get("EDGETT_FUZZ_SEED", "14"))
ALONE = os.environ.get("EDGETT_FUZZ_CASE")
FEW, MANY = 5, 500
"""Cases of each kind that every run of the tests looks at, and the long one."""
OWNERS = Owners({}, frozenset(), {})
DEEP: Any = []
for _ in range(100):
    DEEP = [DEEP]
ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2**62, 10**30, 10**400, 1.5, -1e-310, 1e60, 1e308, "", "x", "y" * 150_000,
    "../../etc/passwd", "artifacts/x.tflite", "\x1b[2J\u202e\n", [], {}, [None], [1, 2, 3], {"a": None}, [[[1]]], DEEP,
)  # fmt: skip
"""What may stand where something else should."""
NUMBERS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x80", b"\xff\xff\xff\x7f", b"\x01\0\0\0")


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a document; of long lists, to the first ones."""
    if path:
        yield path
    inner = (
        content.items() if isinstance(content, dict) else enumerate(content[:3]) if isinstance(content, list) else ()
    )
    for key, value in inner:
        yield from places(value, (*path, key))


def changed(draw: random.Random, content: Any) -> Any:
    """A document in which one or two things are gone or are something else."""
    content = copy.deepcopy(content)
    for _ in range(draw.choice((1, 1, 1, 2))):
        *way, last = draw.choice(list(places(content)) or [()]) or ("",)
        at = content
        for key in way:
            at = at[key]
        if not isinstance(at, (dict, list)) or not at:
            return copy.deepcopy(draw.choice(ODD))
        if draw.random() < 0.25:
            del at[last]
        else:
            at[last] = copy.deepcopy(draw.choice(ODD))
    return content


def spoilt(draw: random.Random, content: bytes) -> bytes:
    """Bytes cut off, flipped, set to numbers that are too large, or moved; more often near the beginning."""
    data, how = bytearray(content), draw.randrange(5)
    if how == 0:
        return bytes(data[: draw.randrange(len(data))])
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        at = draw.randrange(len(data) if draw.random() < 0.4 else min(len(data), 2000))
        if how == 1:
            data[at] = draw.randrange(256)
        elif how == 2:
            data[at] ^= 1 << draw.randrange(8)
        elif how == 3:
            data[at : at + 4] = draw.choice(NUMBERS)
        else:
            other = draw.randrange(len(data))
            data[at : at + 8] = data[other : other + 8]
    return bytes(data)


def garbled(draw: random.Random, text: str) -> bytes:
    """TOML with lines gone, doubled or with other values; now and then bytes that are no text."""
    lines = text.splitlines()
    for _ in range(draw.choice((1, 1, 2, 5))):
        at = draw.randrange(len(lines))
        key = lines[at].partition("=")[0]
        value = draw.choice(
            (
                '""',
                "-1",
                "nan",
                "inf",
                "1e999",
                "[]",
                "{}",
                "true",
                '"1 EiB"',
                "9" * 5000,
                "[" * 500,
                '"\\u202e"',
                "0.5",
            )
        )
        lines[at] = draw.choice(
            ("", f"{lines[at]}\n{lines[at]}", f"{key}= {value}", lines[at][::-1], f"[{key.strip()}]")
        )
    content = "\n".join(lines).encode()
    return spoilt(draw, content) if draw.random() < 0.2 else content


@dataclass(frozen=True)
class Kind:
    """Files of a kind: what they are made of, how they are spoilt, and who reads them."""

    whole: Any
    spoil: Callable[[random.Random, Any], Any]
    read: Callable[[Path, random.Random], object]
    name: str

    def put(self, folder: Path, draw: random.Random) -> Path:
        """A spoilt one."""
        made = self.spoil(draw, self.whole)
        place = folder / self.name
        place.write_bytes(made if isinstance(made, bytes) else json.dumps(made).encode())
        return place


def shown(drawn: Any) -> None:
    Console(file=io.StringIO(), width=100).print(drawn)


def read_run(place: Path, draw: random.Random) -> None:
    """All that is told of a finished run, on the terminal and as a report, and what a package takes of it."""
    asked, _, outcome = session.told(place.parent)
    shown(terminal.compressed(outcome))
    shown(checks.check(outcome["check"]))
    for trial in outcome["trials"]:
        pack._origin(asked, outcome, trial["solution"], picked=True)
    told = reports.report(place.parent)
    markdown.document(told)
    json.dumps(facts.document(told), allow_nan=False)
    if draw.random() < 0.2:
        page.document(told)


def read_tflite(place: Path, _: random.Random) -> None:
    for read in (
        lambda: tflite.read(place, OWNERS),
        lambda: tflite.names(place),
        lambda: tflm.generate(place, "net", "1", 4000),
        lambda: executed(place),
    ):
        try:
            read()
        except EdgettError:
            continue


def read_onnx(place: Path, _: random.Random) -> None:
    for read in (lambda: onnx.read(place, OWNERS), lambda: c.generate(place, "net", "1"), lambda: executed(place)):
        try:
            read()
        except EdgettError:
            continue


def executed(place: Path) -> None:
    """The file in its runtime, unless its sizes are beyond reason."""
    ports = local.input_ports(place)
    if sum(port.bytes for port in ports) < 1 << 20:
        local.run(place, {port.name: np.zeros(port.shape, np.float32) for port in ports}, ports[0].shape[0])


def read_elf(place: Path, _: random.Random) -> None:
    elf.gate(elf.read_elf(place, "net"), load_target("host"))


def kinds(finished: Finished, folder: Path) -> Iterator[tuple[str, Kind]]:
    """Every kind that can be had here."""
    for golden in ("run", "int8", "miss", "deploy"):
        yield (
            f"{golden} run",
            Kind(json.loads((FOLDER / golden / "run.json").read_text()), changed, read_run, "run.json"),
        )
    yield "picture", Kind(json.loads((finished.path / "space.json").read_text()), changed, read_run, "space.json")
    for bench in ("bench-local.json", "bench-emulator.json"):
        yield bench, Kind(json.loads((FOLDER / "run" / bench).read_text()), changed, read_run, bench)
    times = json.loads((finished.path / "times.json").read_text()) if (finished.path / "times.json").exists() else TIMES
    yield "times", Kind(times, changed, lambda place, _: timing._read(place.parent), "times.json")
    for suffix, read in ((".tflite", read_tflite), (".onnx", read_onnx)):
        artefact = (finished.path / "artifacts" / f"recommended{suffix}").read_bytes()
        yield suffix, Kind(artefact, spoilt, read, f"model{suffix}")
    if shutil.which("gcc"):
        source = folder / "net.c"
        source.write_text("int net_table[100] = {1}; int main(void) { return net_table[3]; }\n")
        subprocess.run(["gcc", str(source), "-o", str(folder / "net")], check=True)
        yield "ELF", Kind((folder / "net").read_bytes(), spoilt, read_elf, "net.elf")
    profile = Path(__file__).parent.parent / "targets" / "cortex-m4.toml"
    yield "profile", Kind(profile.read_text(), garbled, lambda place, _: load_profile(place), "cortex-m4.toml")
    yield (
        "project",
        Kind(PROJECT, garbled, lambda place, _: resolve({"target": "host"}, load_project(place)), "edgett.toml"),
    )
    yield "manifest", Kind(MANIFEST, changed, lambda place, _: pack.checked(place.parent, None), "manifest.json")


TIMES = {
    "schema": 2,
    "times": [
        {
            "solution": 0,
            "edits": {
                "wide": {"form": "tt", "inputs": [2, 2], "outputs": [12, 2], "ranks": [1, 2, 1], "order": "last_first"}
            },
            "whole": {"value": 1.3, "low": 1.2, "high": 1.4},
            "layers": {"wide": {"value": 1.3, "low": 1.2, "high": 1.4}},
        }
    ],
}
PROJECT = """model = "model.keras"
data = "data.npz"
target = "cortex-m4"
ranks = "2:12"
grid = 8
search = "grid"
limit = "all"
share = 0.1
only_layer = ["dense"]
seed = 3
max_drop = 1.5
model_bytes = "50 %"
latency_ms = 2.0
"""
MANIFEST = {
    "schema": 2,
    "name": "net",
    "edgett": "0.1.0",
    "artefact": {"suffix": ".onnx", "sha256": "0" * 64},
    "run": {
        "solution": 1,
        "edits": {},
        "target": {"name": "host", "dtype": "float32"},
        "digests": {"model": "a", "data": "b"},
    },
    "files": {"src/net.c": {"sha256": "0" * 64, "bytes": 10}, "../outside": {"sha256": "0" * 64, "bytes": 3}},
}


def looked_at(name: str, kind: Kind, number: int, folder: Path) -> None:
    """A case: an error of edgett's, or none; anything else fails and tells the case."""
    draw = random.Random(f"{SEED} {name} {number}")
    place = folder / name.replace(" ", "-") / str(number)
    place.mkdir(parents=True)
    if kind.read is read_run and kind.name != "run.json":
        shutil.copy(FOLDER / "run" / "run.json", place)
    made = kind.put(place, draw)
    try:
        kind.read(made, draw)
    except EdgettError:
        pass
    except Exception as error:
        error.add_note(f"Again: EDGETT_FUZZ_SEED={SEED} EDGETT_FUZZ_CASE='{name} {number}'; the file is {made}")
        raise
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def every(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    return dict(kinds(finished, tmp_path_factory.mktemp("whole")))


def test_what_is_whole_is_read(every: dict[str, Kind], tmp_path: Path) -> None:
    """Else the others would look at nothing."""
    for name, kind in every.items():
        if name not in ("manifest", "project"):
            place = tmp_path / name
            place.mkdir()
            if kind.read is read_run and kind.name != "run.json":
                shutil.copy(FOLDER / "run" / "run.json", place)
            content = kind.whole
            text = (
                content
                if isinstance(content, bytes)
                else (content if isinstance(content, str) else json.dumps(content)).encode()
            )
            (place / kind.name).write_bytes(text)
            kind.read(place / kind.name, random.Random(0))


def test_a_few_damaged_files(every: dict[str, Kind], tmp_path: Path) -> None:
    for name, kind in every.items():
        for number in range(FEW):
            looked_at(name, kind, number, tmp_path)


@pytest.mark.slow
def test_many_damaged_files(every: dict[str, Kind], tmp_path: Path) -> None:
    if ALONE:
        name, _, number = ALONE.rpartition(" ")
        looked_at(name, every[name], int(number), tmp_path)
        return
    for name, kind in every.items():
        for number in range(FEW, MANY):
            looked_at(name, kind, number, tmp_path)
