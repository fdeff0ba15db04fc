"""`--augment`: inputs altered anew each time they are trained on, by a function of the user's or by layers of Keras."""

from __future__ import annotations

import hashlib
import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from edgett.errors import ModelError, UsageError
from edgett.model import keras_compat, users
from edgett.model.models import load_model
from edgett.model.ports import feed
from edgett.system.folders import scratch

Arrays = dict[str, np.ndarray]
Draw = Sequence[int]
"""What tells a batch from all others, the seed among it: the same draw alters the same batch in the same way."""

TRIED = 8
"""Samples that an augmentation is tried on before it is used."""

FORMS = "Give package.module:function, or a .keras file of Keras's preprocessing layers."


class Alteration(Protocol):
    """How inputs are altered."""

    def altered(self, x: Mapping[str, np.ndarray], draw: Draw) -> Mapping[str, Any]:
        """A batch by input name, of any number of samples, altered as the draw has it."""

    @property
    def digest(self) -> str:
        """The SHA-256 of what it is."""


@dataclass(frozen=True)
class Augmentation:
    """What alters batches of inputs, and sees to it that they still are what the model takes.

    Attributes:
        name: what `--augment` said.
        way: how it does that.
    """

    name: str
    way: Alteration

    def __call__(self, x: Mapping[str, np.ndarray], draw: Draw) -> Arrays:
        """Alter a batch.

        Args:
            x: inputs by name, (n, ...) each; they may be overwritten.
            draw: numbers from 0 that tell this batch from others.

        Returns:
            As many inputs of the same names, shapes and types.

        Raises:
            UsageError: where it fails, or gives anything else.
        """
        shapes = {name: (array.shape, array.dtype) for name, array in x.items()}
        try:
            given = users.call(self.way.altered, x, draw)
        except Exception as error:
            told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise UsageError(f"--augment {self.name} failed: {told}.", "Call it on its own to see why.") from error
        if given.keys() != shapes.keys():
            raise UsageError(
                f"--augment {self.name} gives the inputs {', '.join(map(str, given)) or 'none'}.",
                f"The model's are {', '.join(shapes)}: return a dict with all of them.",
            )
        found = {name: np.asarray(given[name]) for name in shapes}
        for name, array in found.items():
            self._refuse_other(name, array, *shapes[name])
        return found

    def _refuse_other(self, name: str, found: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if found.shape != shape:
            raise UsageError(
                f"--augment {self.name} makes {found.shape} of input {name!r}, which is {shape}.",
                "It takes a batch (n, ...), and must give one of the same shape.",
            )
        if found.dtype != dtype:
            raise UsageError(
                f"--augment {self.name} makes {found.dtype} of input {name!r}, which is {dtype}.",
                f"End it with .astype({str(dtype)!r}): the model must see the values that it was trained on.",
            )
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise UsageError(
                f"--augment {self.name} makes numbers of input {name!r} infinite or nan.",
                "Look for a division by zero in it, or a logarithm.",
            )

    def tried(self, x: Mapping[str, np.ndarray]) -> Augmentation:
        """Try it on some of the training inputs (n, ...) before it is used. Raises UsageError, also for chance."""
        for count in (TRIED, 1):
            first, second = (self({name: array[:count].copy() for name, array in x.items()}, (0, 0)) for _ in range(2))
            for name in first:
                if not np.array_equal(first[name], second[name]):
                    raise UsageError(
                        f"--augment {self.name} alters the same batch in another way each time, so that no training"
                        " could be repeated.",
                        "Let it take a second argument, a numpy.random.Generator, and draw from that alone.",
                    )
        return self


@dataclass(frozen=True)
class Called:
    """A function of the user's.

    It takes a batch, an array (n, ...), or a dict of arrays by name where the model has several inputs; and, where it
    has a second argument, a `numpy.random.Generator`. Else NumPy's, Python's and TensorFlow's own generators are
    seeded before each call.
    """

    module: str
    function: Callable[..., Any]

    def altered(self, x: Mapping[str, np.ndarray], draw: Draw) -> Mapping[str, Any]:
        """See `Alteration`."""
        batch = dict(x) if len(x) > 1 else next(iter(x.values()))
        if _arguments(self.function) > 1:
            given = self.function(batch, np.random.default_rng(list(draw)))
        else:
            with _seeded(_word(draw)):
                given = self.function(batch)
        if isinstance(given, Mapping):
            return given
        if len(x) > 1:
            raise TypeError(f"it gives {type(given).__name__}, not a dict of the model's {len(x)} inputs")
        return {next(iter(x)): given}

    @property
    def digest(self) -> str:
        """That of the module's source."""
        return users.digest(self.module)


@dataclass(frozen=True)
class Layers:
    """A Keras file of preprocessing layers, which alter inputs as in training."""

    content: bytes

    def altered(self, x: Mapping[str, np.ndarray], draw: Draw) -> Mapping[str, Any]:
        """See `Alteration`. What comes out has the type of what goes in, rounded where that is whole."""
        ((name, array),) = x.items()
        network = _network(self.content)
        keras_compat.seed_random_layers(network, _word(draw))
        made = np.asarray(network(array.astype(np.float32), training=True))
        if array.dtype.kind in "iu":
            limits = np.iinfo(array.dtype)
            made = np.clip(np.rint(made), limits.min, limits.max)
        return {name: made.astype(array.dtype)}

    @property
    def digest(self) -> str:
        """That of the file."""
        return hashlib.sha256(self.content).hexdigest()


def read_augmentation(spec: str, model: keras.Model, x: Mapping[str, np.ndarray]) -> Augmentation:
    """Read what `--augment` names, and try it.

    Args:
        spec: package.module:function, or the path of a `.keras` file.
        model: what the inputs are for.
        x: training inputs by name, (n, ...) each.

    Returns:
        What alters batches of them.

    Raises:
        UsageError: for what is not there, cannot be used, or makes something else of the inputs.
    """
    path = Path(spec).expanduser()
    if ":" in spec and not path.exists():
        way: Alteration = _called(spec)
    else:
        way = _layers(spec, path)
        if len(x) > 1:
            raise UsageError(
                f"--augment {spec} is a file of layers, and the model has {len(x)} inputs: {', '.join(x)}.",
                "Give package.module:function, which takes a dict of them and returns one.",
            )
    few = {name: array[:TRIED] for name, array in x.items()}
    feed(model, few)
    return Augmentation(spec, way).tried(few)


def _called(spec: str) -> Called:
    module_name, _, name = spec.partition(":")
    try:
        module = users.module(module_name)
    except Exception as error:
        raise UsageError(f"module {module_name!r} of --augment {spec} cannot be imported: {error}.", FORMS) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise UsageError(f"module {module_name!r} has no function {name!r}, which --augment names.", FORMS)
    if _arguments(function) < 1:
        raise UsageError(f"--augment {spec} takes no argument.", "Let it take a batch of inputs, and return one.")
    return Called(module_name, function)


def _layers(spec: str, path: Path) -> Layers:
    if not path.is_file():
        raise UsageError(f"--augment {spec}: there is no such file.", FORMS)
    try:
        model = load_model(path)
    except ModelError as error:
        raise UsageError(f"--augment {spec}: {error.message}", FORMS) from error
    for layer in keras_compat.nested(model):
        if isinstance(layer, (keras.layers.InputLayer, keras.Model)):
            continue
        if not type(layer).__module__.startswith(_ALTERING) or isinstance(layer, _UNFIT):
            why = _UNFIT_BECAUSE if isinstance(layer, _UNFIT) else "is none of Keras's preprocessing layers"
            raise UsageError(
                f"--augment {spec}: layer {layer.name!r}, a {type(layer).__name__}, {why}.",
                "Save a Sequential of keras.Input and layers such as RandomFlip, RandomTranslation, RandomRotation.",
            )
    return Layers(path.read_bytes())


_ALTERING = ("keras.src.layers.preprocessing.", "keras.src.layers.regularization.")
_UNFIT = (keras.layers.Rescaling, keras.layers.Normalization, keras.layers.MixUp, keras.layers.CutMix)
_UNFIT_BECAUSE = "makes inputs of another scale, or ones that other labels belong to"


@lru_cache(maxsize=2)
def _network(content: bytes) -> keras.Model:
    with scratch() as folder:
        path = folder / "augment.keras"
        path.write_bytes(content)
        return load_model(path)


def _arguments(function: Callable[..., Any]) -> int:
    """How many arguments a function can be given by position; 1 where it does not tell."""
    try:
        given = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    return sum(
        one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) and one.default is one.empty for one in given
    )


def _word(draw: Draw) -> int:
    return int(np.random.SeedSequence(list(draw)).generate_state(1)[0])


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """While it lasts the generators that all share begin with a seed; those of NumPy and Python go on as they were."""
    before = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
