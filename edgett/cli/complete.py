"""What the shell offers on the tab key; light, for it is started anew each time."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import chain
from pathlib import Path
from typing import Any

import typer

EXAMPLES = tuple(f"example:{name}" for name in ("clock", "lenet300", "lenet5", "alexnet", "vgg16"))
_WORDS, _WORD = "COMP_WORDS", "COMP_CWORD"


def targets(incomplete: str) -> list[str]:
    """Names of profiles, then files."""
    from edgett.places import profile_files, search_folders

    names = sorted({path.stem for path in profile_files(search_folders())})
    return _beginning(incomplete, names, _files(incomplete, ".toml"))


def models(incomplete: str) -> list[str]:
    """Examples and saved models."""
    return _beginning(incomplete, EXAMPLES, _files(incomplete, ".keras", ".h5"))


def data(incomplete: str) -> list[str]:
    """Data sets and files."""
    return _beginning(incomplete, ("mnist", "cifar10"), _files(incomplete, ".npz"))


def devices(incomplete: str) -> list[str]:
    """Where artefacts can be measured."""
    return _beginning(incomplete, ("local", "emulator", "ssh://"))


def runs(incomplete: str) -> list[str]:
    """Directories of runs, here, in ./runs and below what was begun."""
    found = chain(_begun(incomplete, "/run.json"), _begun(incomplete, "/*/run.json"))
    return _beginning(incomplete, sorted({path.removesuffix("/run.json") for path in found}))


def subjects(incomplete: str) -> list[str]:
    """What can be measured: runs and artefacts."""
    return runs(incomplete) + _beginning(incomplete, _files(incomplete, ".tflite", ".onnx"))


def solutions(context: typer.Context, incomplete: str) -> list[str]:
    """The numbers of the solutions that a run has fine-tuned."""
    outcome = _read(Path(_first(context, "run")) / "run.json").get("outcome") or {}
    return _beginning(incomplete, (str(trial["solution"]) for trial in outcome.get("trials", ())))


def layers(context: typer.Context, incomplete: str) -> list[str]:
    """The dense layers of a .keras file."""
    import zipfile

    try:
        with zipfile.ZipFile(_first(context, "model")) as file:
            config = _parsed(file.read("config.json"))
    except (OSError, KeyError, zipfile.BadZipFile):
        return []
    return _beginning(incomplete, dict.fromkeys(_dense(config)))


@contextmanager
def with_colons() -> Iterator[None]:
    """Undo that bash ends words at colons: example:clock is one. It gets back only what comes after the last."""
    words, place = os.environ.get(_WORDS, "").split("\n"), os.environ.get(_WORD, "")
    if ":" not in words or not place.isdigit():
        yield
        return
    joined, index = joined_words(words, int(place))
    os.environ |= {_WORDS: "\n".join(joined), _WORD: str(index)}
    cut = joined[index].rfind(":") + 1
    out = io.StringIO()
    try:
        with redirect_stdout(out):
            yield
    finally:
        for line in out.getvalue().splitlines():
            print(line[cut:])


def joined_words(words: Sequence[str], place: int) -> tuple[list[str], int]:
    """Words with a colon between them as one; where the one at `place` then is."""
    found, now = [""], 0
    for index, word in enumerate([*words, ""]):
        if word and found[-1] and (word == ":" or found[-1].endswith(":")):
            found[-1] += word
        else:
            found.append(word)
        if index == place:
            now = len(found) - 2
    return found[1:], now


def _first(context: typer.Context, name: str) -> str:
    """An argument, which the parser has not come to where an option's value is missing."""
    return str(context.params.get(name) or next(iter(context.args), ""))


def _beginning(incomplete: str, *words: Iterable[str]) -> list[str]:
    return [word for word in chain(*words) if word.startswith(incomplete)]


def _files(incomplete: str, *ends: str) -> Iterator[str]:
    return (path for end in ends for path in sorted(_begun(incomplete, end)))


def _begun(incomplete: str, end: str) -> Iterator[str]:
    """Paths, spelled as they were begun: pathlib would tidy them up."""
    import glob

    return glob.iglob(f"{glob.escape(incomplete)}*{end}")  # noqa: PTH207


def _dense(config: Any, path: str = "") -> Iterator[str]:
    """The paths of dense layers in the configuration of a model."""
    inner = config.get("config", {}) if isinstance(config, dict) else {}
    for layer in inner.get("layers", ()) if isinstance(inner, dict) else ():
        name = f"{path}{layer.get('config', {}).get('name', '')}"
        if layer.get("class_name") == "Dense":
            yield name
        yield from _dense(layer, f"{name}/")


def _read(path: Path) -> Any:
    try:
        return _parsed(path.read_bytes())
    except OSError:
        return {}


def _parsed(text: bytes) -> Any:
    import json

    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
