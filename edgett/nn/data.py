"""Training, validation and test data that are known to fit the model."""

from __future__ import annotations

import difflib
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from edgett.errors import DataError
from edgett.nn import checks, sources
from edgett.nn.metrics import Labels
from edgett.nn.ports import Port, input_ports, output_ports
from edgett.nn.quality import Gauge, judge

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Split:
    """Inputs and labels by input and output name, a row a sample, in the dtype they were given in."""

    x: Mapping[str, np.ndarray]
    y: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.x.values())))

    def take(self, rows: np.ndarray | slice) -> Split:
        """Some of the samples, by index, mask or slice."""
        return Split({k: a[rows] for k, a in self.x.items()}, {k: a[rows] for k, a in self.y.items()})


@dataclass(frozen=True)
class Data:
    """Three splits without a sample in common."""

    train: Split
    validation: Split
    test: Split

    @functools.cached_property
    def digest(self) -> str:
        """The SHA-256 of every array's dtype, shape and bytes, whatever the model calls its inputs and outputs."""
        digest = hashlib.sha256()
        for position, split in enumerate((self.train, self.validation, self.test)):
            for side, arrays in (("x", split.x), ("y", split.y)):
                for array in arrays.values():
                    digest.update(f"{position} {side} {array.dtype.str} {array.shape}\n".encode())
                    digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def load_data(spec: str, model: keras.Model, seed: int) -> Data:
    """The data that `--data` names (forms: see `sources.read`), checked against the model; DataError if unfit."""
    return data_from_arrays(sources.read(spec, model), model, seed)


def data_from_arrays(arrays: Mapping[str, np.ndarray], model: keras.Model, seed: int) -> Data:
    """`x_train y_train x_test y_test`, maybe `x_val y_val`, checked against the model; DataError if unfit.

    Several inputs or outputs: `x_train.<input name>`, `y_train.<output name>`. Without validation data a tenth of the
    training data is set aside, drawn with `seed`, stratified where the first output is a class.
    """
    inputs, outputs = input_ports(model), output_ports(model)
    plain = {_plain(_plain(name, "x", inputs), "y", outputs): np.asarray(array) for name, array in arrays.items()}
    parts = ["train", "test"] + ["val"] * any(name.startswith(("x_val", "y_val")) for name in plain)
    _check_names(list(plain), [key for part in parts for key in _keys("x", part, inputs) | _keys("y", part, outputs)])
    splits = {part: _split(part, plain, inputs, outputs) for part in parts}
    gauges = judge(model, splits["train"].y).gauges
    for part, split in splits.items():
        for (key, port), gauge in zip(_keys("y", part, outputs).items(), gauges, strict=True):
            if gauge.loss is not None:
                checks.check_labels(key, split.y[port.name], port, gauge.loss)
    train, validation = splits["train"], splits.get("val")
    if validation is None:
        aside = set_aside(len(train), _classes(gauges[0], train), seed)
        train, validation = train.take(~aside), train.take(aside)
    return Data(train, validation, splits["test"])


def set_aside(count: int, classes: np.ndarray | None, seed: int) -> np.ndarray:
    """A mask of the samples to validate with: a tenth, at least one, of all or of every class.

    `classes` (count,) or None. A class of one sample stays in training; if all are, the draw ignores classes.
    Raises a DataError for fewer than two samples.
    """
    if count < 2:
        raise DataError(
            f"x_train has {count} sample: none is left to validate with.", "Give at least 2, or x_val and y_val."
        )
    random = np.random.default_rng(seed)
    groups = [np.arange(count)] if classes is None else [np.flatnonzero(classes == c) for c in np.unique(classes)]
    groups = [group for group in groups if len(group) > 1] or [np.arange(count)]
    mask = np.zeros(count, bool)
    # Rounding the running total makes the classes' tenths add up to a tenth of all.
    ends = np.rint(VALIDATION_SHARE * np.cumsum([len(group) for group in groups])).astype(int)
    for group, size in zip(groups, np.diff(ends, prepend=0), strict=True):
        mask[random.permutation(group)[: max(1, size)]] = True
    return mask


def scaling_warning(model: keras.Model, data: Data) -> str | None:
    """What to say if raw values such as 0..255 go into a model that does not scale them; None if all is well."""
    if _scales(model):
        return None
    for port in input_ports(model):
        array = data.train.x[port.name]
        sample = array[:256]
        whole = array.dtype.kind in "iu" or bool((sample == np.floor(sample)).all())
        if whole and sample.max() > 2 and port.dtype.startswith(("float", "bfloat")):
            return (
                f"The data of input {port.name!r} run from {array.min():g} to {array.max():g} and the model does not "
                "scale them. If it was trained on scaled data, start it with keras.layers.Rescaling(1 / 255) or "
                "scale the data."
            )
    return None


def _scales(model: keras.Model) -> bool:
    """Whether something scales, normalises or looks up the values before the first other weight."""
    kinds = keras.layers
    scaling = (kinds.Rescaling, kinds.Normalization, kinds.BatchNormalization, kinds.LayerNormalization)
    arithmetic = {"Divide", "TrueDivide", "Multiply", "Subtract"}
    for operation in getattr(model, "operations", model.layers):
        if isinstance(operation, keras.Model):
            if _scales(operation):
                return True
        elif isinstance(operation, (*scaling, kinds.Embedding)) or type(operation).__name__ in arithmetic:
            return True
        if getattr(operation, "weights", None):
            return False
    return False


def _keys(side: str, part: str, ports: tuple[Port, ...]) -> dict[str, Port]:
    """The arrays a split has on one side: `x_train`, or `x_train.<name>` for each of several."""
    stem = f"{side}_{part}"
    return {stem: ports[0]} if len(ports) == 1 else {f"{stem}.{port.name}": port for port in ports}


def _plain(name: str, side: str, ports: tuple[Port, ...]) -> str:
    """`x_train.<name>` as `x_train` where there is one port only."""
    alone = len(ports) == 1 and name.startswith(f"{side}_")
    return name.removesuffix(f".{ports[0].name}") if alone else name


def _check_names(given: list[str], needed: list[str]) -> None:
    missing = [name for name in needed if name not in given]
    if missing:
        others = [name for name in given if name not in needed]
        near = {name: difflib.get_close_matches(name, others, 1) for name in missing}
        hints = [f"Is {close[0]!r} meant to be {name!r}?" for name, close in near.items() if close]
        raise DataError(
            f"the data have no {', '.join(missing)}; found: {', '.join(given) or 'nothing'}.",
            " ".join([*hints, f"Needed: {', '.join(needed)}."]),
        )
    unknown = [name for name in given if name not in needed and name.lower().startswith(("x_", "y_"))]
    if unknown:
        raise DataError(
            f"the data hold {', '.join(unknown)}, which this model has no use for.",
            f"Rename or leave out; read are: {', '.join(needed)}, and x_val, y_val likewise.",
        )


def _split(part: str, arrays: Mapping[str, np.ndarray], inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> Split:
    x_keys, y_keys = _keys("x", part, inputs), _keys("y", part, outputs)
    for key in x_keys | y_keys:
        checks.check_numbers(key, arrays[key])
    checks.check_lengths({key: arrays[key] for key in x_keys | y_keys})
    for key, port in x_keys.items():
        checks.check_input(key, arrays[key], port)
    x = {port.name: arrays[key] for key, port in x_keys.items()}
    return Split(x, {port.name: _in_keras_shape(arrays[key], port) for key, port in y_keys.items()})


def _in_keras_shape(labels: np.ndarray, port: Port) -> np.ndarray:
    """Class numbers (n, 1) as (n,); values (n,) of an output of one unit as (n, 1)."""
    if port.shape[-1:] == (1,):
        return labels[..., np.newaxis] if labels.ndim == len(port.shape) else labels
    return labels[..., 0] if labels.ndim == len(port.shape) + 1 and labels.shape[-1] == 1 else labels


def _classes(gauge: Gauge, split: Split) -> np.ndarray | None:
    labels = split.y[gauge.output.name]
    kind = Labels.ANY if gauge.loss is None else gauge.loss.labels
    if kind is Labels.ONE_HOT:
        labels = labels.argmax(-1)
    elif kind in (Labels.BINARY, Labels.SIGNS) and labels.shape[1:] == (1,):
        labels = labels[:, 0]
    elif kind is not Labels.CLASSES:
        return None
    return labels if labels.ndim == 1 else None
