"""The trained baseline of an example, kept in the user's cache directory."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from edgett.errors import ToolError
from edgett.examples import clock, zoo
from edgett.examples.zoo import Example
from edgett.meter import Meter
from edgett.system.folders import scratch
from edgett.train.data import Data


def baseline(example: Example, data: Data, seed: int, directory: Path, meter: Meter) -> keras.Model:
    """The example trained on `data.train`, from `directory` if it was trained there before, bit for bit the same.

    The optimiser is fresh in either case. An entry that cannot be read is trained again; a directory that cannot be
    written costs a line on the meter.
    """
    path = directory / f"{example.name}-{_key(example, data, seed)}.npz"
    model = _load(path, example)
    if model is not None:
        meter.say(f"baseline {example.name}: trained before, read from {path}")
        return model
    model = zoo.train(example, data, seed, meter)
    try:
        _save(path, model.get_weights())
    except (OSError, ToolError) as problem:
        meter.say(f"baseline {example.name}: not kept for the next run, {path} cannot be written: {problem}")
    return model


def _key(example: Example, data: Data, seed: int) -> str:
    """What the weights depend on: this code, the libraries, the seed and the data; 16 hexadecimal digits."""
    code = (inspect.getsource(module) for module in (zoo, clock))
    parts = (*_versions(), *code, example.name, example.epochs, example.batch_size, seed, data.digest)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _versions() -> tuple[str, str, str]:
    try:
        own = importlib.metadata.version("edgett")
    except importlib.metadata.PackageNotFoundError:  # run from the source tree
        own = ""
    return own, keras.__version__, tf.__version__


def _load(path: Path, example: Example) -> keras.Model | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            weights = [stored[f"arr_{index}"] for index in range(len(stored.files))]
        return zoo.with_weights(example, weights)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _save(path: Path, weights: list[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch(path.parent) as folder:
        part = folder / path.name
        np.savez(part, *weights)
        part.replace(path)
