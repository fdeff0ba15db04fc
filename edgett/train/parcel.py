"""A model and its data on their way to another process, which trains there as it would here."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import FunctionType
from typing import Any

import cloudpickle
import keras
import numpy as np

from edgett.errors import ModelError
from edgett.model import keras_compat, users
from edgett.model.layers import compilation, uncompiled
from edgett.train.assess import answering, outputs
from edgett.train.augment import Called
from edgett.train.augmented import Augmented
from edgett.train.data import Split
from edgett.train.finetune import Tuner
from edgett.train.quality import judge

_FILE = "tuner.pickle"
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Parcel:
    """What a `Tuner` is made of, without TensorFlow in it: `content` is pickled, `arrays` are kept apart.

    `edgett` is the version that packed it.
    """

    content: bytes
    arrays: Arrays
    edgett: str

    def save(self, folder: Path) -> None:
        """Write it where other processes of this machine can map the arrays instead of copying them."""
        arrays = list(self.arrays.items())
        places = {name: _mapped(array) or folder / f"{index}.npy" for index, (name, array) in enumerate(arrays)}
        for name, array in arrays:
            if _mapped(array) is None:
                np.save(places[name], array, allow_pickle=False)
        (folder / _FILE).write_bytes(cloudpickle.dumps((self.content, places, self.edgett)))

    @classmethod
    def load(cls, folder: Path) -> Parcel:
        """What was saved there."""
        content, places, edgett = cloudpickle.loads((folder / _FILE).read_bytes())
        return cls(content, {name: np.load(place, mmap_mode="r") for name, place in places.items()}, edgett)


def _mapped(array: np.ndarray) -> Path | None:
    """The .npy file that an array is a map of, whole."""
    if not isinstance(array, np.memmap) or array.filename is None:
        return None
    path = Path(str(array.filename))
    return path if array.offset + array.nbytes == path.stat().st_size else None


def pack(tuner: Tuner) -> Parcel:
    """The tuner for another process. Raises ModelError when the model would not be the same there.

    The user's own modules go along: another machine may not have them, another process here may not find them.
    """
    arrays = {
        f"{part}.{side}.{name}": array
        for part, split in (("train", tuner.train), ("validation", tuner.validation))
        for side, of in (("x", split.x), ("y", split.y))
        for name, array in of.items()
    }
    model, packed_by = tuner.model, version("edgett")
    try:
        with uncompiled(model), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of lambdas, which nobody unpacks but ourselves
            config = keras.saving.serialize_keras_object(model)
        compiled = _still(compilation(model)) if model.compiled else None
        own, altered = _own(model), _altered(tuner.train)
        with _sent_along([*own.values(), *keras.tree.flatten(compiled), *_functions(tuner)]):
            judged = tuner.judge.ask, tuner.judge.own
            content = cloudpickle.dumps(
                (config, own, model.get_weights(), compiled, judged, tuner.recipe, tuner.starts, altered, tuner.pruned)
            )
        few = Parcel(content, {name: array[:2] for name, array in arrays.items()}, packed_by)
        _check_twin(tuner, unpack(few))
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"model {model.name!r} cannot be sent to other processes: {type(error).__name__}: {reason}.",
            "Train in this one with --jobs 0, or give every layer of yours a complete get_config().",
        ) from error
    return Parcel(content, arrays, packed_by)


def unpack(parcel: Parcel) -> Tuner:
    """The tuner that was packed."""
    with users.importable():
        config, own, weights, compiled, judged, recipe, starts, altered, pruned = cloudpickle.loads(parcel.content)
    with keras.saving.custom_object_scope(own):
        model = keras.saving.deserialize_keras_object(config, safe_mode=False)
        model.set_weights(weights)
        if compiled is not None:
            model.compile(**_alive(compiled))
    sides: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for key, array in parcel.arrays.items():
        part, side, name = key.split(".", 2)
        sides.setdefault((part, side), {})[name] = array
    train, validation = (Split(sides[part, "x"], sides[part, "y"]) for part in ("train", "validation"))
    judging = judge(model, train.y, *judged)
    if altered is not None:
        label = None if judging.ask.labelled else answering(model)
        train = Augmented(train.x, train.y, augment=altered[0], seed=altered[1], label=label)
    return Tuner(model, train, validation, judging, recipe, starts, pruned)


def _altered(split: Split) -> Any:
    """What alters samples, with its seed; None: nothing does."""
    return (split.augment, split.seed) if isinstance(split, Augmented) else None


def _functions(tuner: Tuner) -> list[Any]:
    """The user's functions that samples are altered by, and that the judge goes by, if any."""
    train, asked = tuner.train, tuner.judge.ask.metric
    way = train.augment.way if isinstance(train, Augmented) else None
    found = [way.function] if isinstance(way, Called) else []
    if tuner.judge.own is not None and asked is not None:
        found.append(getattr(users.module(str(asked.module)), asked.name))
    return found


def _check_twin(tuner: Tuner, twin: Tuner) -> None:
    few = tuner.train.take(slice(2)).x
    mine, theirs = outputs(tuner.model, few), outputs(twin.model, few)
    for name in mine:
        np.testing.assert_allclose(theirs[name], mine[name], rtol=1e-5, atol=1e-6)


def _own(model: keras.Model) -> dict[str, Any]:
    """The classes and functions of the user's that the model is made of, by the names that configurations give them."""
    parts = [item for layer in keras_compat.nested(model) for item in (layer, *vars(layer).values())]
    if model.compiled:
        parts += [model.optimizer, *vars(model.optimizer).values()]
    named = [part if isinstance(part, FunctionType) else type(part) for part in parts]
    mine = [item for item in named if not item.__module__.startswith(("keras.", "tensorflow.", "builtins"))]
    return {name: item for item in mine for name in (item.__name__, keras.saving.get_registered_name(item))}


@contextmanager
def _sent_along(items: Iterable[Any]) -> Iterator[None]:
    """While it lasts classes and functions are pickled with their code, unless they come from an installed package."""
    kinds = [item.kind if isinstance(item, _Still) else item for item in items]
    kinds = [item if isinstance(item, (type, FunctionType)) else type(item) for item in kinds]
    roots = {kind.__module__.split(".")[0] for kind in kinds}
    installed = {"edgett", "__main__", *sys.stdlib_module_names, *packages_distributions()}
    registered = [sys.modules[root] for root in sorted(_beside(roots - installed) - installed)]
    for module in registered:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


def _beside(roots: Collection[str]) -> set[str]:
    """These modules and packages, and those of the same folders, which they may import."""

    def folder(name: str) -> Path | None:
        place = getattr(sys.modules.get(name), "__file__", None)
        if place is None:
            return None
        path = Path(place).resolve()
        return path.parent.parent if path.name == "__init__.py" else path.parent

    folders = {folder(name) for name in roots} - {None}
    known = {name.partition(".")[0] for name in sys.modules}
    return {name for name in known if name in sys.modules and (name in roots or folder(name) in folders)}


@dataclass(frozen=True)
class _Still:
    """An optimiser or a metric, which holds TensorFlow's variables, by what makes one like it."""

    kind: Any
    settings: dict[str, Any]

    def alive(self) -> Any:
        return self.kind.from_config(self.settings)


@dataclass(frozen=True)
class _StillLoss(_Still):
    """A loss by its attributes: left to itself it is pickled as its configuration, in which Huber has no delta."""

    def alive(self) -> Any:
        loss = self.kind.__new__(self.kind)
        vars(loss).update(self.settings)
        return loss


def _still(compiled: Any) -> Any:
    def still(item: Any) -> Any:
        if isinstance(item, keras.Loss):
            return _StillLoss(type(item), dict(vars(item)))
        stateful = isinstance(item, (keras.Optimizer, keras.Metric))
        return _Still(type(item), item.get_config()) if stateful else item

    return keras.tree.map_structure(still, compiled)


def _alive(compiled: Any) -> Any:
    return keras.tree.map_structure(lambda item: item.alive() if isinstance(item, _Still) else item, compiled)
