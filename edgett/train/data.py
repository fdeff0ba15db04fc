"""Training, validation and test data that are known to fit the model."""

from __future__ import annotations

import difflib
import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from edgett.errors import DataError
from edgett.model.ports import Port, input_ports, output_ports
from edgett.model.stream import Stream
from edgett.model.weigh import spread
from edgett.train import checks, sources
from edgett.train.metrics import Labels
from edgett.train.quality import Gauge, judge

VALIDATION_SHARE = 0.1

Answer = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
"""What a model makes of inputs (n, ...), both by name."""

Told = Callable[[np.ndarray, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
"""What a model makes of the samples of these numbers (n,), which were drawn as these inputs (n, ...)."""


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

    def drawn(self, rows: np.ndarray, size: int, draw: tuple[int, int, int]) -> Split:
        """Some of the samples, to train on in batches.

        Args:
            rows: (n,) the samples, by number.
            size: of a batch.
            draw: the seed, the epoch, and the number of the first batch.

        Returns:
            The n samples.
        """
        return self.take(rows)

    def told(self, answer: Answer) -> Told:
        """What tells a model's outputs for samples that were `drawn`."""
        outputs = answer(self.x)
        return lambda rows, x: {name: array[rows] for name, array in outputs.items()}

    @property
    def stream(self) -> Stream:
        """Some of the samples, on which layers are looked at."""
        return spread(self.x)


@dataclass(frozen=True)
class Data:
    """Three splits without a sample in common.

    `aside`: the validation data were taken out of the user's training data, which a model of theirs may have learnt.
    Without labels (`labelled` False) `y` has none, until there are a model's outputs in their place.
    """

    train: Split
    validation: Split
    test: Split
    aside: bool = False
    labelled: bool = True

    @functools.cached_property
    def digest(self) -> str:
        """The SHA-256 of every array's dtype, shape and bytes, whatever the model calls its inputs and outputs.

        Of what was given: not of the outputs that stand in for labels.
        """
        digest = hashlib.sha256()
        for position, split in enumerate((self.train, self.validation, self.test)):
            for side, arrays in (("x", split.x), ("y", split.y if self.labelled else {})):
                for array in arrays.values():
                    digest.update(f"{position} {side} {array.dtype.str} {array.shape}\n".encode())
                    digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def labelled_by(self, outputs: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]) -> Data:
        """The data with what `outputs` makes of the inputs in the place of labels."""
        train, validation, test = (Split(part.x, outputs(part.x)) for part in (self.train, self.validation, self.test))
        return Data(train, validation, test, self.aside, labelled=False)


def load_data(spec: str, model: keras.Model, seed: int) -> Data:
    """The data that `--data` names (forms: see `sources.read`), checked against the model; DataError if unfit."""
    arrays = sources.read(spec, model)
    try:
        return data_from_arrays(arrays, model, seed)
    except DataError as error:
        raise DataError(f"{spec}: {error.message}", error.cure) from error


def data_from_arrays(arrays: Mapping[str, np.ndarray], model: keras.Model, seed: int) -> Data:
    """`x_train y_train x_test y_test`, maybe `x_val y_val`, checked against the model; DataError if unfit.

    Several inputs or outputs: `x_train.<input name>`, `y_train.<output name>`. Without validation data a tenth of the
    training data is set aside, drawn with `seed`, stratified where the first output is a class. Without labels
    `x_train` is enough: another tenth of it then stands for test data.
    """
    inputs, outputs = input_ports(model), output_ports(model)
    plain = {_plain(_plain(name, "x", inputs), "y", outputs): np.asarray(array) for name, array in arrays.items()}
    labelled = any(name.startswith("y_") for name in plain)
    optional = ["val"] if labelled else ["test", "val"]
    parts = ["train", *["test"] * labelled]
    parts += [part for part in optional if any(name.startswith((f"x_{part}", f"y_{part}")) for name in plain)]
    sides = {part: (_keys("x", part, inputs), _keys("y", part, outputs) if labelled else {}) for part in parts}
    _check_names(list(plain), [key for x_keys, y_keys in sides.values() for key in x_keys | y_keys])
    splits = {part: _split(plain, *keys) for part, keys in sides.items()}
    for part, split in splits.items():
        checks.check_indices(model, {key: (port.name, split.x[port.name]) for key, port in sides[part][0].items()})
    gauges = judge(model, splits["train"].y).gauges if labelled else ()
    for part, split in splits.items():
        for (key, port), gauge in zip(sides[part][1].items(), gauges, strict=True):
            if gauge.loss is not None:
                checks.check_labels(key, split.y[port.name], port, gauge.loss)
    aside = "val" not in splits
    for part in (part for part in ("val", "test") if part not in splits):
        train = splits["train"]
        mask = set_aside(len(train), _classes(gauges[0], train) if gauges else None, seed)
        splits |= {"train": train.take(~mask), part: train.take(mask)}
    return Data(splits["train"], splits["val"], splits["test"], aside, labelled)


def halves(split: Split, gauge: Gauge, seed: int) -> tuple[Split, Split]:
    """Samples in two halves, drawn with `seed`, stratified where the output that is gauged is a class."""
    mask = set_aside(len(split), _classes(gauge, split), seed, 0.5)
    return split.take(mask), split.take(~mask)


def set_aside(count: int, classes: np.ndarray | None, seed: int, share: float = VALIDATION_SHARE) -> np.ndarray:
    """A mask of the samples to validate with: a share of them, at least one, of all or of every class.

    `classes` (count,) or None. A class of one sample stays in training; if all are, the draw ignores classes.
    Raises a DataError for fewer than two samples.
    """
    if count < 2:
        raise DataError(
            f"x_train has {count} sample: none is left to validate with.",
            "Give at least 2, or 3 without labels; or x_val and y_val.",
        )
    random = np.random.default_rng(seed)
    groups = [np.arange(count)] if classes is None else [np.flatnonzero(classes == c) for c in np.unique(classes)]
    groups = [group for group in groups if len(group) > 1] or [np.arange(count)]
    mask = np.zeros(count, bool)
    # Rounding the running total makes the classes' shares add up to that of all.
    ends = np.rint(share * np.cumsum([len(group) for group in groups])).astype(int)
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


def _split(arrays: Mapping[str, np.ndarray], x_keys: Mapping[str, Port], y_keys: Mapping[str, Port]) -> Split:
    every = {key: arrays[key] for key in (*x_keys, *y_keys)}
    for key, array in every.items():
        checks.check_numbers(key, array)
    checks.check_lengths(every)
    for key, port in x_keys.items():
        checks.check_input(key, arrays[key], port)
    # Small numbers stay small until the model casts them, as Keras does; whole ones have the type it would make.
    x = {
        port.name: arrays[key].astype(port.dtype, copy=False) if "int" in port.dtype else arrays[key]
        for key, port in x_keys.items()
    }
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
