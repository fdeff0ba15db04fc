"""Trained models from files, never running code that a file brings along; and their weights as bytes."""

from __future__ import annotations

import importlib
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src.saving import serialization_lib

from edgett.errors import ModelError, UsageError
from edgett.folders import scratch
from edgett.nn.trace import opened, trace

_CONVERT = {
    ".tflite": "A .tflite cannot be trained on: give the Keras model it was converted from.",
    ".onnx": "An .onnx cannot be trained on: give the Keras model it was converted from.",
    ".pb": "Load the SavedModel and save it with model.save('model.keras').",
    ".pt": "Rebuild the network in Keras, set its weights, and model.save('model.keras').",
    ".pth": "Rebuild the network in Keras, set its weights, and model.save('model.keras').",
}


def load_model(path: Path, custom_objects: str | None = None) -> keras.Model:
    """The model in a `.keras` or `.h5` file; `custom_objects` names a module that defines what it needs beyond Keras.

    Safe mode stays on: a Lambda layer, which is code in a file, is refused. Raises ModelError.
    """
    _check_path(path)
    objects = _custom_objects(custom_objects)
    try:
        model = _read(path, objects)
    except Exception as error:
        raise _explained(path, error) from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"{path} holds a {type(model).__name__}, not a model.", "Save a keras.Model.")
    opened(model)
    return model


def save_model(model: keras.Model, path: Path) -> None:
    """Write a `.keras` file whose bytes depend on the model alone: no date, no address, no training state."""
    content = io.BytesIO()
    with scratch() as folder:
        dated = folder / "model.keras"
        with _untrained_optimizer(model), _all_alive():
            model.save(dated)
        with zipfile.ZipFile(dated) as source, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as target:
            for name in sorted(source.namelist()):
                entry = zipfile.ZipInfo(name)  # dated 1980
                entry.compress_type = zipfile.ZIP_DEFLATED
                part = source.read(name)
                target.writestr(entry, _CANONICAL[name](part) if name in _CANONICAL else part)
    path.write_bytes(content.getvalue())


@contextmanager
def _untrained_optimizer(model: keras.Model) -> Iterator[None]:
    """While it lasts the model has an optimiser of the same settings that has trained nothing yet.

    It bears the name of its kind, where Keras counts those that the process has made; and it has its variables, without
    which Keras warns when it reads the file back.
    """
    trained = model.optimizer if model.compiled else None
    if trained is None:
        yield
        return
    compilation = model._compile_config.config
    given = compilation["optimizer"]
    kind = trained.__class__
    fresh = kind.from_config(trained.get_config() | {"name": kind.__name__.lower()})
    fresh.build(model.trainable_variables)
    model.optimizer = compilation["optimizer"] = fresh
    try:
        yield
    finally:
        model.optimizer, compilation["optimizer"] = trained, given


@contextmanager
def _all_alive() -> Iterator[None]:
    """While it lasts nothing that Keras serialises is freed.

    Keras tells objects that are shared by their addresses, also of those that live no longer than their turn: the next
    one there would be taken for the same.
    """
    record, alive = serialization_lib.record_object_after_serialization, []

    def keeping(obj: Any, config: dict[str, Any]) -> None:
        alive.append(obj)
        record(obj, config)

    serialization_lib.record_object_after_serialization = keeping
    try:
        yield
    finally:
        serialization_lib.record_object_after_serialization = record


def _undated(metadata: bytes) -> bytes:
    return json.dumps(json.loads(metadata) | {"date_saved": ""}).encode()


def _numbered(config: bytes) -> bytes:
    """With the objects that are shared numbered as they come, where Keras has their addresses."""
    numbers: dict[int, int] = {}

    def numbered(entry: dict[str, Any]) -> dict[str, Any]:
        if {"class_name", _SHARED} <= entry.keys():
            entry[_SHARED] = numbers.setdefault(entry[_SHARED], len(numbers))
        return entry

    return json.dumps(json.loads(config, object_hook=numbered)).encode()


_SHARED = "shared_object_id"
_CANONICAL = {"metadata.json": _undated, "config.json": _numbered}
"""What is rewritten of the parts of a `.keras` file."""


def pack_weights(model: keras.Model) -> bytes:
    """The weights of every layer by its path, as the bytes of an .npz."""
    content = io.BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(weight) for name, weight in _weights(model).items()}
    np.savez(content, **arrays)
    return content.getvalue()


def unpack_weights(model: keras.Model, content: bytes) -> None:
    """Set the weights that were packed from a model with layers of these paths, perhaps only the last part of it.

    Raises ValueError for weights of other layers.
    """
    weights = _weights(model)
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        if others := sorted(set(stored) - set(weights)):
            raise ValueError(f"model {model.name!r} has no weights {', '.join(others)}")
        for name, array in stored.items():
            weights[name].assign(array)


def _weights(model: keras.Model) -> dict[str, Any]:
    layers = {call.path: call.layer for call in trace(model).calls if isinstance(call.layer, keras.layers.Layer)}
    return {f"{path}:{index}": item for path, layer in layers.items() for index, item in enumerate(layer.weights)}


def _read(path: Path, objects: dict[str, Any]) -> Any:
    try:
        return keras.models.load_model(path, custom_objects=objects, safe_mode=True)
    except Exception as error:
        if "ambda" in str(error):
            raise
        # Losses and metrics that Keras cannot read back need not keep the weights from being used.
        return keras.models.load_model(path, custom_objects=objects, safe_mode=True, compile=False)


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise ModelError(
            f"{path} is a directory; a SavedModel cannot be trained on.",
            "Load it where it was made and save it again: model.save('model.keras').",
        )
    if path.suffix in _CONVERT:
        raise ModelError(f"{path} is no Keras model.", _CONVERT[path.suffix])
    if not path.is_file():
        raise ModelError(f"there is no model file {path}.", "Give a .keras or .h5 file, or example:clock.")
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        raise ModelError(f"{path} is neither .keras nor .h5.", "Save the model with model.save('model.keras').")


def _explained(path: Path, error: Exception) -> ModelError:
    # Keras wraps an error once for every model around the layer that it is about.
    text = " ".join(str(error).split()).rsplit("Exception encountered: ", 1)[-1]
    if "ambda" in text:
        return ModelError(
            f"{path} has a Lambda layer, which is code in a file: refused.",
            "Rebuild the model with a layer of its own instead, or with keras.ops.",
        )
    if "could not locate" in text.lower() or "unknown" in text.lower() or "custom_object" in text:
        return ModelError(f"{path} needs something that Keras does not have: {text[:300]}", "Pass --custom-objects.")
    return ModelError(f"{path} cannot be loaded: {text[:300]}", "Save it again with model.save('model.keras').")


def _custom_objects(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(name)
    except Exception as error:
        raise UsageError(
            f"--custom-objects {name} cannot be imported: {type(error).__name__}: {error}.",
            "Name a module that Python can import from here, such as package.module.",
        ) from error
    finally:
        sys.path.remove(here)
    return {key: value for key, value in vars(module).items() if callable(value) and not key.startswith("_")}
