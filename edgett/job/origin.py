"""What a model file is, told by its content and not by its name, and what wrote it."""

from __future__ import annotations

import enum
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgett.errors import ModelError

_SAVE = "model.save('model.keras')"
_KERAS_MODEL = "Give the Keras model it was converted from: it cannot be trained on, nor converted back."
_REBUILD = f"Rebuild the network in Keras, set its weights, and {_SAVE}."


class Container(enum.Enum):
    """How a Keras model is stored."""

    ARCHIVE = "a .keras archive"
    HDF5 = "HDF5"


@dataclass(frozen=True)
class Origin:
    """A file with a Keras model in it; `writer` is the version of Keras that wrote it, empty where it does not say."""

    path: Path
    form: Container
    writer: str

    @property
    def old(self) -> bool:
        """Whether Keras 2 wrote it, or tf-keras. HDF5 files of the first ones do not say."""
        return self.writer.startswith("2.") or (self.form is Container.HDF5 and not self.writer)

    def __str__(self) -> str:
        writer = f"Keras {self.writer}" if self.writer else "a Keras that does not say which"
        return f"{self.path.name}: {self.form.value}, written by {writer}"


def origin(path: Path) -> Origin:
    """What is in a model file. Raises ModelError for anything but a Keras model, with what can be done about it."""
    if path.is_dir():
        raise _directory(path)
    if not path.is_file():
        raise ModelError(f"there is no model file {path}.", "Give a Keras model's file, or example:clock.")
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise ModelError(f"{path} is empty.", f"Save the model again: {_SAVE}.")
    if start.startswith(b"PK"):
        found = _archive(path)
    elif start.startswith(b"\x89HDF\r\n\x1a\n"):
        found = _hdf5(path)
    else:
        raise _something_else(path, start)
    if found.writer and not found.writer.startswith(("2.", "3.")):
        raise ModelError(
            f"{path} was written by Keras {found.writer}; those of Keras 2 and 3 can be read.",
            f"Load it with Keras 2 and save it again: {_SAVE}.",
        )
    return found


def _archive(path: Path) -> Origin:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "config.json" in names and any(name.startswith("model.weights.") for name in names):
                about = _document(archive.read("metadata.json")) if "metadata.json" in names else {}
                return Origin(path, Container.ARCHIVE, str(about.get("keras_version", "")))
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise _damaged(path, error) from error
    if any(name.endswith(("data.pkl", "constants.pkl")) for name in names):
        raise ModelError(f"{path} is a PyTorch model.", _REBUILD)
    if names and all(name.endswith(".npy") for name in names):
        raise ModelError(f"{path} holds arrays of NumPy's and no model.", _REBUILD)
    raise ModelError(f"{path} is an archive without a Keras model in it.", f"Save the model with {_SAVE}.")


def _document(content: bytes) -> dict[str, Any]:
    about = json.loads(content)
    return about if isinstance(about, dict) else {}


def _hdf5(path: Path) -> Origin:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            writer, whole = file.attrs.get("keras_version", ""), "model_config" in file.attrs
            backend = file.attrs.get("backend", "tensorflow")
            keys = {*file, *file.attrs}
    except (OSError, RuntimeError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error
    writer, backend = (item.decode(errors="replace") if isinstance(item, bytes) else str(item)
                       for item in (writer, backend))  # fmt: skip
    if not whole:
        weights = {"layer_names", "layers", "_layer_checkpoint_dependencies", "model_weights"} & keys
        what = "holds the weights of a model, and not the model" if weights else "is HDF5, but no Keras model"
        raise ModelError(
            f"{path} {what}.",
            f"Build the model in Keras, model.load_weights({path.name!r}) and {_SAVE}." if weights else
            f"Save the model with {_SAVE}.",
        )  # fmt: skip
    if backend not in ("tensorflow", "jax", "torch", "numpy", "openvino"):
        raise ModelError(
            f"{path} was written by Keras {writer} on {backend}, whose convolutions are mirrored.",
            f"Load it with Keras on TensorFlow, and save it again: {_SAVE}.",
        )
    return Origin(path, Container.HDF5, writer)


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path} cannot be loaded: it is damaged or cut off ({' '.join(str(error).split())[:200]}).",
        f"Copy it again, or save it again with {_SAVE}.",
    )


def _directory(path: Path) -> ModelError:
    if (path / "saved_model.pb").exists() and (path / "keras_metadata.pb").exists():
        return ModelError(
            f"{path} is a directory: a SavedModel of Keras 2, which Keras 3 cannot read.",
            "Convert it: pip install tf-keras, then python -c"
            f" \"import tf_keras; tf_keras.models.load_model({str(path)!r}).save('model.keras')\"",
        )
    if (path / "saved_model.pb").exists():
        return ModelError(
            f"{path} is a directory: a SavedModel for serving, without its Keras layers.",
            f"Give the Keras model it was exported from, saved with {_SAVE}.",
        )
    if (path / "config.json").exists():
        return ModelError(
            f"{path} is a directory: an unpacked .keras archive.",
            f"Pack it: keras.models.load_model({str(path)!r}).save('model.keras')",
        )
    return ModelError(f"{path} is a directory, and no model.", "Give a Keras model's file, or example:clock.")


def _something_else(path: Path, start: bytes) -> ModelError:
    if start[4:8] == b"TFL3":
        return ModelError(f"{path} is a TFLite model.", _KERAS_MODEL)
    if start[0] == 0x80 and start[1] in range(2, 6):
        return ModelError(f"{path} is a pickle, as PyTorch writes them, which can hold any code: not opened.", _REBUILD)
    fields = set(_fields(path))
    if 7 in fields and 1 in fields:
        return ModelError(f"{path} is an ONNX model.", _KERAS_MODEL)
    if fields == {1, 2} and path.suffix == ".pb":
        return ModelError(
            f"{path} is the graph of a SavedModel.", f"Name its directory, {path.resolve().parent}, to be told more."
        )
    if start.lstrip().startswith(b"{"):
        return ModelError(
            f"{path} is text: at most a model's architecture, without weights.",
            "Build the model with keras.models.model_from_json(text), model.load_weights(...) and " + _SAVE + ".",
        )
    return ModelError(
        f"{path} is no Keras model: it begins with {start[:8]!r}.",
        f"Save the model with {_SAVE}; what it is is told by its content, whatever its name.",
    )


def _fields(path: Path) -> Iterator[int]:
    """The numbers of the fields of a protocol buffer, as far as the file is one."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            key = _varint(file)
            kind, number = key & 7, key >> 3
            if kind == 0:
                _varint(file)
            elif kind == 2:
                length = _varint(file)
                if length < 0 or file.tell() + length > size:
                    return
                file.seek(length, 1)
            else:
                return
            yield number


def _varint(file: Any) -> int:
    """A whole number; -1 where there is none."""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            return -1
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return -1
