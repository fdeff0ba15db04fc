"""Trained models from files, never running code that a file brings along; and their weights as bytes."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from edgett.errors import ModelError, UsageError
from edgett.job.origin import Container, Origin, origin
from edgett.model import keras_compat, users
from edgett.model.keras2 import hdf5
from edgett.model.keras2.calls import Untranslatable
from edgett.model.keras2.configuration import translated
from edgett.model.keras2.training import compilation
from edgett.model.keras2.weights import from_archive, from_hdf5
from edgett.model.portable import portable, recognised
from edgett.model.trace import opened, trace
from edgett.system.folders import scratch
from edgett.system.quiet import quiet

Say = Callable[[str], None]


def load_model(path: Path, custom_objects: str | None = None, say: Say = lambda line: None) -> keras.Model:
    """Load a Keras file, of Keras 2 or 3; no code in it is run.

    The plain layers that a layer in a form was saved as are one again.

    Args:
        path: the file, .keras or HDF5, told by its content.
        custom_objects: a module that defines what the model needs beyond Keras; None: nothing.
        say: hears what could not be read of its training.

    Returns:
        The model.

    Raises:
        ModelError: for a file that is no such model, one with a Lambda layer among them.
        UsageError: for a module that cannot be imported.
    """
    found = origin(path)
    objects = _custom_objects(custom_objects)
    told: list[str] = []
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras's, of how it was saved
            model = (_read_old if found.old else _read)(found, objects, told.append)
    except Exception as error:
        raise _explained(path, error) from error
    for line in told:
        say(line)
    if not isinstance(model, keras.Model):
        raise ModelError(f"{path} holds a {type(model).__name__}, not a model.", "Save a keras.Model.")
    opened(model)
    return recognised(model)


def save_model(model: keras.Model, path: Path) -> None:
    """Write a `.keras` file whose bytes depend on the model alone: no date, no address, no training state.

    Its layers in forms are plain ones of Keras there, so that it loads without edgett.

    Args:
        model: a Sequential or functional model.
        path: the file to write.

    Raises:
        ModelError: when the model cannot be copied.
    """
    content, model = io.BytesIO(), portable(model)
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
    compilation = keras_compat.compile_arguments(model)
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
    alive: list[Any] = []

    def keeping(record: Callable[..., None]) -> Callable[..., None]:
        def keep(obj: Any, config: dict[str, Any]) -> None:
            alive.append(obj)
            record(obj, config)

        return keep

    with keras_compat.recording(keeping):
        yield


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
    """Set weights that `pack_weights` has packed.

    Args:
        model: has layers of the same paths, perhaps only the last of the model that was packed; it is changed.
        content: the bytes of an .npz.

    Raises:
        ValueError: for weights of other layers.
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


def _read(found: Origin, objects: dict[str, Any], say: Say) -> Any:
    """Of Keras 3, which goes by the suffix."""
    with scratch() as folder:
        place = folder / f"model{'.keras' if found.form is Container.ARCHIVE else '.h5'}"
        place.symlink_to(found.path.resolve())
        load = partial(keras.models.load_model, place, custom_objects=objects, safe_mode=True)
        try:
            return load()
        except Exception as error:
            if "ambda" in str(error):
                raise
            # Losses and metrics that Keras cannot read back need not keep the weights from being used.
            model = load(compile=False)
            say(_untrained(found, error))
            return model


def _read_old(found: Origin, objects: dict[str, Any], say: Say) -> Any:
    """Of Keras 2: its configuration, translated, then its weights."""
    with _parts(found) as (config, training, weights):
        safe = {"custom_objects": objects, "safe_mode": True}
        model = keras.saving.deserialize_keras_object(translated(config, objects), **safe)
        if found.form is Container.ARCHIVE:
            from_archive(model, config, weights)
        else:
            from_hdf5(model, weights)
    if isinstance(training, dict):
        try:
            with keras.saving.custom_object_scope(objects):
                model.compile_from_config(compilation(training))
        except Exception as error:  # noqa: BLE001 - whatever Keras says of it
            model.compiled = False
            say(_untrained(found, error))
    return model


@contextmanager
def _parts(found: Origin) -> Iterator[tuple[Any, Any, Any]]:
    """The configuration of a model, what it was compiled with, and its weights."""
    if found.form is Container.ARCHIVE:
        with zipfile.ZipFile(found.path) as archive:
            config, content = json.loads(archive.read("config.json")), archive.read("model.weights.h5")
        with h5py.File(io.BytesIO(content), "r") as file:
            yield config, config.get("compile_config") if isinstance(config, dict) else None, file
        return
    with h5py.File(found.path, "r") as file:
        texts = [hdf5.text(file.attrs.get(name, "null")) for name in ("model_config", "training_config")]
        config, training = map(json.loads, texts)
        weights = hdf5.subgroup(file, "model_weights")
        if weights is None:
            raise hdf5.Damaged("it has no weights")
        yield config, training, weights


def _untrained(found: Origin, error: Exception) -> str:
    return f"{found.path.name}: its optimiser, loss and metrics cannot be read ({_last(error)[:200]}); left out."


def _last(error: Exception) -> str:
    """What is wrong. Keras wraps an error once for every model around the layer that it is about."""
    return " ".join(str(error).split()).rsplit("Exception encountered: ", 1)[-1].rstrip(".")


def _explained(path: Path, error: Exception) -> ModelError:
    text = _last(error)
    if "ambda" in text:
        return ModelError(
            f"{path} has a Lambda layer, which is code in a file: refused.",
            "Rebuild the model with a layer of its own instead, or with keras.ops.",
        )
    if isinstance(error, Untranslatable) and not error.name:
        return ModelError(
            f"{path} cannot be translated from Keras 2: {text}.",
            "Rebuild the model in Keras 3, take its weights over with set_weights, and model.save('model.keras').",
        )
    if "could not locate" in text.lower() or "unknown" in text.lower() or isinstance(error, Untranslatable):
        return ModelError(f"{path} needs something that Keras does not have: {text[:300]}.", "Pass --custom-objects.")
    return ModelError(f"{path} cannot be loaded: {text[:300]}.", "Save it again with model.save('model.keras').")


def _custom_objects(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    try:
        module = users.module(name)
    except Exception as error:
        raise UsageError(
            f"--custom-objects {name} cannot be imported: {type(error).__name__}: {error}.",
            "Name a module that Python can import from here, such as package.module.",
        ) from error
    return {key: value for key, value in vars(module).items() if callable(value) and not key.startswith("_")}
