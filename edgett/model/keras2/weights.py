"""The weights of files of Keras 2, set by the names of layers: Keras 3 may have branches in another order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from edgett.model import keras_compat
from edgett.model.keras2 import hdf5
from edgett.model.keras2.calls import Config
from edgett.model.keras2.configuration import layers_of, name_of
from edgett.model.keras2.hdf5 import Damaged


def from_hdf5(model: keras.Model, stored: Any) -> None:
    """Set the weights of a model from the group of an HDF5 file that holds them, a group a layer. Raises Damaged."""
    groups = {name.replace("/", "."): name for name in hdf5.names(stored, "layer_names")}
    for layer in model.layers:
        if layer.weights:
            group = hdf5.subgroup(stored, groups.get(layer.name, ""))
            if group is None:
                raise Damaged(f"it has no weights for layer {layer.name!r}")
            _set(layer, group)


def _set(layer: Any, group: Any) -> None:
    """Those of a layer, in the order in which Keras 2 has them, or by their names where those tell them apart."""
    names = hdf5.names(group, "weight_names")
    weights = layer.trainable_weights + layer.non_trainable_weights
    if len(weights) != len(names):
        raise Damaged(f"layer {layer.name!r} takes {len(weights)} weights, the file has {len(names)}")
    mine, theirs = [_tail(weight.path) for weight in weights], [_tail(name) for name in names]
    if len(set(mine)) == len(mine) and set(mine) == set(theirs):
        names = [names[theirs.index(tail)] for tail in mine]
    for weight, name in zip(weights, names, strict=True):
        weight.assign(hdf5.array(group, name, tuple(weight.shape), f"layer {layer.name!r}"))
    for inner in keras_compat.nested(layer):
        if isinstance(inner, keras.layers.Normalization):
            inner.finalize_state()


def _tail(name: str) -> str:
    """The layer and the weight: "dense/kernel"."""
    return "/".join(name.partition(":")[0].split("/")[-2:])


def from_archive(model: keras.Model, config: Config, stored: Any) -> None:
    """Set the weights of a model from the HDF5 file inside a .keras file, by the `config` that Keras 2 wrote.

    There a layer is named by its class, and counted: "dense_1" is the second Dense of its model. Raises Damaged.
    """
    missing = {id(weight): weight.path for weight in model.weights}
    _follow(model, config, stored, missing)
    if missing:
        raise Damaged(f"it has no weights for {', '.join(sorted(missing.values()))[:200]}")


def _follow(layer: Any, config: Any, group: Any, missing: dict[int, str]) -> None:
    """A layer and what is in it; `config` where it is, or has in it, a model."""
    own = hdf5.subgroup(group, "vars")
    if own is not None and len(own):
        variables = keras_compat.own_variables(layer)
        shapes = {str(index): tuple(variable.shape) for index, variable in enumerate(variables)}
        what = f"layer {layer.name!r}"
        arrays: dict[str, np.ndarray] = {key: hdf5.array(own, key, shape, what) for key, shape in shapes.items()}
        layer.load_own_variables(arrays)
        for variable in variables:
            missing.pop(id(variable), None)
    if isinstance(layer, keras.Model):
        for child, entry, inside in _children(layer, config, group):
            _follow(child, entry, inside, missing)
        return
    for name in group:
        held, inside = vars(layer).get(name), hdf5.subgroup(group, name)
        if isinstance(held, keras.layers.Layer):
            _follow(held, _within(config, name), inside, missing)
        elif isinstance(held, (list, tuple)):
            for place, item in zip(_numbered([type(item).__name__ for item in held], 1), held, strict=True):
                found = hdf5.subgroup(inside, place)
                if found is not None and isinstance(item, keras.layers.Layer):
                    _follow(item, None, found, missing)


def _children(model: Any, config: Any, group: Any) -> Iterator[tuple[Any, Config, Any]]:
    """The layers of a model with weights, each with its configuration and its group."""
    entries = layers_of(config)
    if config["class_name"] == "Sequential":  # which does not count its input
        entries = [entry for entry in entries if entry["class_name"] != "InputLayer"]
    classes = [str(entry["class_name"]).rpartition(">")[2] for entry in entries]
    layers = {layer.name: layer for layer in model.layers}
    # Seen in 2.13.1, where a layer with weights counts twice.
    for container, step in (("layers", 1), ("_layer_checkpoint_dependencies", 2)):
        for place, entry in zip(_numbered(classes, step), entries, strict=True):
            inside = hdf5.subgroup(group, f"{container}/{place}")
            if inside is not None and name_of(entry) in layers:
                yield layers[name_of(entry)], entry, inside


def _numbered(classes: Sequence[str], step: int) -> list[str]:
    """The names that Keras gives the members of a list."""
    counted: Counter[str] = Counter()
    result = []
    for name in map(_snake, classes):
        result.append(f"{name}_{counted[name]}" if counted[name] else name)
        counted[name] += step
    return result


def _within(config: Any, name: str) -> Any:
    """The configuration of the model in a layer."""
    settings = config.get("config") if isinstance(config, dict) else None
    return settings.get("layer" if name == "forward_layer" else name) if isinstance(settings, dict) else None


def _snake(name: str) -> str:
    """As Keras writes the name of a class."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
