"""`--data`: from an .npz file, a function or a data set's name to plain arrays.

Arrays have the names `x_train y_train x_test y_test`, and maybe `x_val y_val`; where a model has several inputs or
outputs, `x_train.<input name>` and `y_train.<output name>`. Without labels `x_train` may stand alone.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgett.errors import DataError
from edgett.model import users
from edgett.model.ports import Port, input_ports, output_ports

_TURNED_TO_ARRAYS_AT_ONCE = 1024
_FORMS = "Give a .npz file, package.module:function, mnist or cifar10."


def read(spec: str, model: keras.Model) -> dict[str, np.ndarray]:
    """The arrays that `--data` names.

    A function takes nothing and gives a mapping of such arrays, or ((x_train, y_train), (x_test, y_test)) with an
    optional third pair for validation, or `tf.data.Dataset`s of (x, y) or of x alone, batched or not, as {"train",
    "test", "val"} or in that order, or one array or data set without labels; data sets are read into memory. Raises
    DataError.
    """
    if spec in ("mnist", "cifar10"):
        return _downloaded(spec, model)
    if ":" in spec and not spec.endswith(".npz") and not Path(spec).exists():
        return arrays_of(_called(spec), model)
    return read_npz(Path(spec).expanduser())


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file. Never unpickles: a file with object arrays is refused with a DataError."""
    if not path.exists():
        raise DataError(f"there is no data file {path}.", _FORMS)
    if path.is_dir():
        raise DataError(f"{path} is a directory, not an .npz file.", _FORMS)
    try:
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path} is not an .npz file, or it is cut short.", "Write it with np.savez.")
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        RuntimeError,
        MemoryError,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        if "Object arrays" in str(error):
            raise DataError(
                f"{path} holds object arrays, which are pickles and could run any code: refused.",
                "Save plain arrays: np.savez(path, x_train=np.stack(x_train), ...), each with a numeric dtype.",
            ) from error
        raise DataError(f"{path} cannot be read: {error}.", "Write it again with np.savez.") from error


def arrays_of(given: Any, model: keras.Model) -> dict[str, np.ndarray]:
    """The named arrays in what a data function gives: a mapping of arrays, or pairs or data sets a split."""
    if isinstance(given, Mapping) and not any(_is_dataset(value) for value in given.values()):
        return {str(name): _array(str(name), array) for name, array in given.items()}
    parts = {"train": given} if _is_dataset(given) or isinstance(given, np.ndarray) else given
    if isinstance(given, (tuple, list)) and 2 <= len(given) <= 3:
        parts = dict(zip(("train", "test", "val"), given, strict=False))
    if not isinstance(parts, Mapping):
        raise DataError(
            f"the data function gave: {_described(given)}.",
            "Let it return a mapping of arrays, ((x_train, y_train), (x_test, y_test)), or tf.data.Datasets.",
        )
    ports = input_ports(model), output_ports(model)
    arrays: dict[str, np.ndarray] = {}
    for split, part in parts.items():
        x, y = _pair(str(split), _materialised(part, ports[0]) if _is_dataset(part) else part)
        arrays |= _named(f"x_{_short(split)}", x, ports[0])
        arrays |= {} if y is None else _named(f"y_{_short(split)}", y, ports[1])
    return arrays


def _short(split: str) -> str:
    return "val" if split == "validation" else str(split)


def _pair(split: str, part: Any) -> tuple[Any, Any]:
    if isinstance(part, (tuple, list)) and len(part) == 2:
        return part[0], part[1]
    if isinstance(part, (np.ndarray, Mapping)):
        return part, None
    raise DataError(
        f"the {split} data are no pair (x, y) but: {_described(part)}.",
        "Give inputs and labels, or inputs alone; no weights.",
    )


def _named(key: str, value: Any, ports: tuple[Port, ...]) -> dict[str, np.ndarray]:
    if isinstance(value, Mapping):
        return {f"{key}.{name}": _array(f"{key}.{name}", array) for name, array in value.items()}
    if len(ports) > 1 and isinstance(value, (tuple, list)) and len(value) == len(ports):
        return _named(key, {port.name: array for port, array in zip(ports, value, strict=True)}, ports)
    return {key: _array(key, value)}


def _array(key: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise DataError(f"{key} is no array: {error}.", "Give every sample the same shape.") from error


def _described(value: Any) -> str:
    sizes = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
    return f"{type(value).__name__}{sizes}"


def _is_dataset(value: Any) -> bool:
    # Whoever made a tf.data.Dataset has loaded TensorFlow already.
    return callable(getattr(value, "cardinality", None)) and hasattr(value, "element_spec")


def _materialised(dataset: Any, inputs: tuple[Port, ...]) -> Any:
    if int(dataset.cardinality()) == -1:
        raise DataError("a data set repeats for ever.", "Leave out repeat().")
    first = keras.tree.flatten(dataset.element_spec)[0]
    if first.shape.rank is not None and first.shape.rank <= len(inputs[0].shape):
        dataset = dataset.batch(_TURNED_TO_ARRAYS_AT_ONCE)
    batches = list(dataset.as_numpy_iterator())
    if not batches:
        raise DataError("a data set is empty.", "Give at least one sample for training and one for testing.")
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *batches)


def _called(spec: str) -> Any:
    module_name, _, name = spec.partition(":")
    try:
        module = users.module(module_name)
    except Exception as error:
        raise DataError(f"module {module_name!r} of --data {spec} cannot be imported: {error}.", _FORMS) from error
    function: Callable[[], Any] | None = getattr(module, name, None)
    if not callable(function):
        raise DataError(f"module {module_name!r} has no function {name!r}.", _FORMS)
    try:
        return users.call(function)
    except Exception as error:
        raise DataError(f"{spec} failed: {type(error).__name__}: {error}.", "Call it on its own to see why.") from error


def _downloaded(name: str, model: keras.Model) -> dict[str, np.ndarray]:
    source = {"mnist": keras.datasets.mnist, "cifar10": keras.datasets.cifar10}[name]
    try:
        # Keras draws its own progress bar on standard output.
        with contextlib.redirect_stdout(io.StringIO()):
            pairs = source.load_data()
    except Exception as error:
        raise DataError(
            f"{name} could not be downloaded: {error}.",
            f"Download it elsewhere and pass the file: --data {name}.npz, with x_train y_train x_test y_test.",
        ) from error
    grey = name == "mnist" and input_ports(model)[0].shape == (28, 28, 1)
    return {
        key: array[..., np.newaxis] if grey and key[0] == "x" else array
        for key, array in arrays_of(pairs, model).items()
    }
