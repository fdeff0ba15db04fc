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

EXAMPLES = {
    "example:clock": ("conv1", "conv2", "conv3", "hour_fc", "minute_fc", "hour", "minute"),
    "example:lenet300": ("fc1", "fc2", "fc3"),
    "example:lenet5": ("conv1", "conv2", "fc1", "fc2", "fc3"),
    "example:alexnet": ("conv1", "conv2", "conv3", "conv4", "conv5", "fc1", "fc2", "fc3", "fc4"),
    "example:vgg16": (
        "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2", "conv4_3",
        "conv5_1", "conv5_2", "conv5_3", "fc1", "fc2", "fc3",
    ),
    "example:resnet8": (
        "conv1", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "shortcut3", "conv4_1", "conv4_2", "shortcut4", "fc",
    ),
    "example:dscnn": ("conv1", "pointwise2", "pointwise3", "pointwise4", "pointwise5", "word"),
}  # fmt: skip
"""The built-in models with their layers that may be factorised, which would take TensorFlow to find."""

_ASKED, _WORDS, _WORD = "_EDGETT_COMPLETE", "COMP_WORDS", "COMP_CWORD"
_BREAKS = ":="
"""Where bash ends words beside at spaces."""


def targets(incomplete: str) -> list[str]:
    """Names of profiles, then files."""
    from edgett.target.places import profile_files, search_folders

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
    """The numbers of the solutions that a run has fine-tuned, and what the dense model is called."""
    import json

    place = Path(_first(context, "run")) / "run.json"
    if not place.is_file():  # a pipe would be waited for
        return []
    outcome = json.loads(place.read_bytes())["outcome"] or {}
    numbers = (str(trial["solution"]) for trial in outcome.get("trials", ()))
    return _beginning(incomplete, numbers, ("baseline",) if outcome else ())


def layers(context: typer.Context, incomplete: str) -> list[str]:
    """The layers of an example or a .keras file that may be factorised."""
    import json
    import zipfile

    model = _first(context, "model")
    if model in EXAMPLES:
        return _beginning(incomplete, EXAMPLES[model])
    if not Path(model).is_file():
        return []
    with zipfile.ZipFile(model) as file:
        return _beginning(incomplete, dict.fromkeys(_layers(json.loads(file.read("config.json")))))


def documents(context: typer.Context, incomplete: str) -> list[str]:
    """The next words of names of JSON documents: some have two."""
    from edgett.schema.documents import DOCUMENTS

    before = tuple(context.params.get("name") or ())
    names = (tuple(name.split()) for name in DOCUMENTS)
    words = (name[len(before)] for name in names if name[: len(before)] == before and len(name) > len(before))
    return _beginning(incomplete, dict.fromkeys(words))


@contextmanager
def answering() -> Iterator[None]:
    """Where the shell asks, print offers and nothing else, whatever is wrong with half a line or with a file."""
    if not (asked := os.environ.get(_ASKED, "")).startswith("complete_"):
        yield
        return
    out, known = io.StringIO(), 0
    try:
        known = _join() if asked == "complete_bash" else 0
        with redirect_stdout(out):
            yield
    except Exception:  # noqa: BLE001
        raise SystemExit(1) from None
    finally:
        for line in out.getvalue().splitlines():
            print(line[known:])


def _join() -> int:
    """Undo that bash ends words at colons and the like: example:clock is one. How much of each offer it has already."""
    words, place = [*os.environ[_WORDS].split("\n"), ""], int(os.environ[_WORD])
    if not any(map(_is_break, words)):
        return 0
    joined, index = joined_words(words, place)
    os.environ |= {_WORDS: "\n".join(joined), _WORD: str(index)}
    before = joined[index].removesuffix("" if _is_break(words[place]) else words[place])
    return len(before.partition("=")[2] if before.startswith("-") else before)


def joined_words(words: Sequence[str], place: int) -> tuple[list[str], int]:
    """Words as they were typed, of those that bash made of them; where the one at `place` then is."""
    found, now = [""], 0
    for index, word in enumerate([*words, ""]):
        if word and found[-1] and (_is_break(word) or found[-1][-1] in _BREAKS):
            found[-1] += word
        else:
            found.append(word)
        if index == place:
            now = len(found) - 2
    return found[1:], now


def _is_break(word: str) -> bool:
    return bool(word) and set(word) <= set(_BREAKS)


def _first(context: typer.Context, name: str) -> str:
    """An argument, which the parser has not come to where an option's value is missing."""
    return str(context.params.get(name) or next(iter(context.args), ""))


def _beginning(incomplete: str, *words: Iterable[str]) -> list[str]:
    """What a shell can show and take, one a line."""
    return [word for word in chain(*words) if word.startswith(incomplete) and word.isprintable()]


def _files(incomplete: str, *ends: str) -> Iterator[str]:
    return (path for end in ends for path in sorted(_begun(incomplete, end)))


def _begun(incomplete: str, end: str) -> Iterator[str]:
    """Paths, spelled as they were begun: pathlib would tidy them up."""
    import glob

    return glob.iglob(f"{glob.escape(incomplete)}*{end}")  # noqa: PTH207


_FACTORISED = ("Dense", "Conv2D", "Conv1D", "SeparableConv2D")


def _layers(config: Any, path: str = "") -> Iterator[str]:
    """The paths of layers that may be factorised in the configuration of a model."""
    inner = config.get("config", {}) if isinstance(config, dict) else {}
    for layer in inner.get("layers", ()) if isinstance(inner, dict) else ():
        name = f"{path}{layer.get('config', {}).get('name', '')}"
        if layer.get("class_name") in _FACTORISED:
            yield name
        yield from _layers(layer, f"{name}/")
