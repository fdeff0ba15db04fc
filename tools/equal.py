"""Whether the edgetts of two interpreters write the same bytes: `python tools/equal.py BEFORE AFTER`."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False)
say = functools.partial(typer.echo, err=True)

TARGET = "cortex-a53"  # no time decides there what is picked
LIBRARIES = "python tensorflow keras numpy t3f onnx tf2onnx onnxruntime ai-edge-litert emx-onnx-cgen".split()
COMPARED = (".tflite", ".onnx", ".c", ".h")  # a .keras may come to be made of other layers
QUICK = ("--limit", "2", "--epochs", "1", "--jobs", "0", "--max-drop", "100")
WITH_FILES = (0, 5)
"""Exit codes after which there are picks: 5 says that a file's outputs are not Keras's, as after an epoch in int8."""
PROBE = """
import importlib.metadata, json, os, platform, edgett
found = {one.metadata["Name"]: one.version for one in reversed(list(importlib.metadata.distributions()))}
print(json.dumps({"home": os.path.dirname(os.path.realpath(edgett.__file__)),
                  "versions": {"python": platform.python_version(), **found}}))
"""


@dataclass(frozen=True)
class Version:
    """An installed edgett: its interpreter, the folder of all that it writes here, where its code is, the libraries."""

    name: str
    python: Path
    folder: Path
    home: str
    versions: Mapping[str, str]

    def edgett(self, *arguments: str) -> tuple[int, Any]:
        """The exit code of a command and what it prints as JSON. Raises BadParameter where it comes to no files."""
        environment = {**_surroundings(), "EDGETT_CACHE_DIR": str(self.folder / "cache")}
        line = [str(self.python), "-P", "-m", "edgett", *arguments, "--json", "--quiet"]
        done = subprocess.run(line, cwd=self.folder, env=environment, capture_output=True, text=True)
        if done.returncode not in WITH_FILES:
            told = f"exit code {done.returncode} of edgett {' '.join(arguments)}: {_end(done.stderr)}"
            raise typer.BadParameter(told, param_hint=self.name.upper())
        return done.returncode, json.loads(done.stdout)


@dataclass(frozen=True)
class Work:
    """An example to compress in a type, and the options of `edgett compress` beside them."""

    example: str
    options: tuple[str, ...]
    dtype: str

    def done(self, by: Version) -> Iterator[tuple[str, str]]:
        """Names of what a version makes of it, with the SHA-256 of each; the exit code, which is to be equal, first."""
        began, name = time.monotonic(), f"{self.example} {self.dtype}"
        folder = by.folder / name.replace(" ", "-")
        asked = ("--target", TARGET, "--dtype", self.dtype, "--out", str(folder / "run"), *self.options)
        code, told = by.edgett("compress", f"example:{self.example}", *asked)
        say(f"{by.name}: {name}: compressed after {time.monotonic() - began:.0f} s")
        yield f"{name} exit code", str(code)
        picked = (pick["solution"] for pick in told["picks"].values() if pick)
        for solution in dict.fromkeys(("baseline", *(str(number) for number in picked if number >= 0))):
            by.edgett(
                "export", str(folder / "run"), "--solution", solution, "--format", "c", "--out", str(folder / "c")
            )
        say(f"{by.name}: {name}: C exported after {time.monotonic() - began:.0f} s")
        for path in (*sorted((folder / "run" / "artifacts").iterdir()), *sorted((folder / "c").iterdir())):
            if path.suffix in COMPARED:
                yield f"{name} {path.name}", hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Row:
    """An artefact, and its SHA-256 by each version; None where a version has not written it."""

    artefact: str
    before: str | None
    after: str | None

    @property
    def verdict(self) -> str:
        return "MISSING" if None in (self.before, self.after) else "equal" if self.before == self.after else "DIFFERS"

    def __str__(self) -> str:
        return f"| {self.artefact} | {self.before or '-'} | {self.after or '-'} | {self.verdict} |"


def compared(before: Mapping[str, str], after: Mapping[str, str]) -> list[Row]:
    """Everything that either version has written, in the order in which it was."""
    return [Row(name, before.get(name), after.get(name)) for name in dict.fromkeys((*before, *after))]


def wrong(rows: Sequence[Row]) -> str | None:
    """What speaks against the two versions' writing the same; None where nothing does."""
    if not rows:
        return "Nothing was written, so nothing was compared."
    others = [row for row in rows if row.verdict != "equal"]
    return f"{len(others)} of {len(rows)} differ or are missing, first: {others[0].artefact}." if others else None


@app.command()
def equal(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A Python interpreter that has an edgett.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="One that has another.")],
    data: Annotated[Path | None, typer.Option(exists=True, help="mnist.npz: lenet300 is compared too.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Two solutions, an epoch: shows less, in minutes.")] = False,
    keep: Annotated[Path | None, typer.Option(help="A new folder that keeps all that is written.")] = None,
) -> None:
    """Compare the SHA-256 of the .tflite, .onnx and C files that two versions of edgett make of the examples.

    For example, beside a clone of what was before, with an environment of its own:

    python tools/equal.py ../before/.venv/bin/python .venv/bin/python --data mnist.npz --keep /tmp/equal
    """
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise typer.BadParameter(f"{keep} is not an empty folder.", param_hint="--keep")
    with tempfile.TemporaryDirectory() as scratch:
        folder = (keep or Path(scratch)).absolute()
        versions = [found(name, path, folder / name) for name, path in (("before", before), ("after", after))]
        tell_apart(*versions)
        rows = [row for work in works(data, quick) for row in _rows(work, *versions)]
    print("| artefact | SHA-256 before | SHA-256 after | |\n|---|---|---|---|", *rows, sep="\n")
    print((problem := wrong(rows)) or f"All {len(rows)} are equal.")
    raise typer.Exit(0 if problem is None else 1)


def works(data: Path | None, quick: bool) -> list[Work]:
    """The examples in both types; with the options' defaults, where it is not to be quick."""
    options = QUICK if quick else ()
    examples = {"clock": options} | ({"lenet300": (*options, "--data", str(data.absolute()))} if data else {})
    return [Work(*one, dtype=dtype) for one in examples.items() for dtype in ("float32", "int8")]


def found(name: str, python: str, folder: Path) -> Version:
    """The edgett of an interpreter. Raises BadParameter where there is none."""
    (folder / "cache").mkdir(parents=True)
    line = [str(Path(shutil.which(python) or python).absolute()), "-P", "-c", PROBE]  # no link followed: to a venv
    try:
        done = subprocess.run(line, cwd=folder, env=_surroundings(), capture_output=True, text=True)
    except OSError as error:
        raise typer.BadParameter(f"{python} cannot be started: {error.strerror}.", param_hint=name.upper()) from error
    if done.returncode:
        told = f"{python} has no edgett: {_end(done.stderr)}. Install one: {line[0]} -m pip install '.[firmware]'"
        raise typer.BadParameter(told, param_hint=name.upper())
    return Version(name, Path(line[0]), folder, **json.loads(done.stdout))


def tell_apart(before: Version, after: Version) -> None:
    """Raise BadParameter where the two are one; say what else is not the same."""
    if before.home == after.home:
        raise typer.BadParameter(f"both interpreters have the edgett in {after.home}.", param_hint="AFTER")
    say(f"before: {before.home}\nafter: {after.home}")
    for name in LIBRARIES:
        if (one := before.versions.get(name)) != (other := after.versions.get(name)):
            say(f"{name} is {one} before and {other} after: that alone may change bytes")


def _rows(work: Work, before: Version, after: Version) -> list[Row]:
    """What both make of it. A baseline that one has trained serves the other where that goes by the same key."""
    first = dict(work.done(before))
    for trained in (before.folder / "cache").glob("*.npz"):
        shutil.copy(trained, after.folder / "cache")
    second = dict(work.done(after))
    keys = [{path.name for path in (one.folder / "cache").glob("*.npz")} for one in (before, after)]
    say(
        f"{work.example}: "
        + ("the baseline's key is the same" if keys[0] == keys[1] else "each trained its own baseline")
    )
    return compared(first, second)


def _surroundings() -> dict[str, str]:
    """This process's environment without what leads to another's code or settings; sets have the same order in both."""
    led = ("PYTHON", "VIRTUAL_", "EDGETT_")
    return {name: text for name, text in os.environ.items() if not name.startswith(led)} | {"PYTHONHASHSEED": "0"}


def _end(text: str) -> str:
    """What a program said last, which of its errors is the gist."""
    return " ".join(text.strip().splitlines()[-2:])


if __name__ == "__main__":
    app()
