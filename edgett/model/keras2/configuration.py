"""Models of Keras 2 (2.4 to 2.15, tf-keras) as Keras 3 would have written them: configurations, translated as data.

A row of a table is a difference, with the version of a file in which it was seen. Nothing is built here and no code
runs; what comes out is read by Keras 3 in its safe mode.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras

from edgett.model.keras2.calls import Config, Untranslatable, calls, function, is_function, node, outputs, settings_of

EVERY = ""
ANYTHING = object()

_CLASSES = {
    "Model": ("2.3.0", "Functional"),
    "SyncBatchNormalization": ("2.12.0", "BatchNormalization"),
    "ThresholdedReLU": ("2.15.0", "ReLU"),
}
"""Classes that have another name now."""

_RENAMED = (
    ("2.4.0", "InputLayer", "batch_input_shape", "batch_shape"),
    ("2.15.0", "LeakyReLU", "alpha", "negative_slope"),
    ("2.15.0", "ThresholdedReLU", "theta", "threshold"),
    ("2.4.0", "CategoryEncoding", "max_tokens", "num_tokens"),
)
"""Settings that have another name now."""

_CONVOLUTIONS = "DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D Conv1DTranspose Conv2DTranspose"
_SPATIAL_DROPOUT = "SpatialDropout1D SpatialDropout2D SpatialDropout3D"
_RANDOM = (
    "RandomFlip RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness RandomCrop RandomHeight"
    " RandomWidth Dropout AlphaDropout GaussianNoise GaussianDropout SpatialDropout1D SpatialDropout2D SpatialDropout3D"
)
_RECURRENT = "RNN LSTM GRU SimpleRNN ConvLSTM1D ConvLSTM2D ConvLSTM3D"
_CELLS = "LSTMCell GRUCell SimpleRNNCell"

_GONE: tuple[tuple[str, str, str, object], ...] = (
    ("2.4.0", EVERY, "batch_input_shape", ANYTHING),  # of the first layer, beside its InputLayer
    ("2.4.0", _CONVOLUTIONS + " Conv3DTranspose", "groups", 1),
    ("2.15.0", "SeparableConv1D SeparableConv2D", "kernel_initializer", ANYTHING),
    ("2.15.0", "SeparableConv1D SeparableConv2D", "kernel_regularizer", None),
    ("2.15.0", "SeparableConv1D SeparableConv2D", "kernel_constraint", None),
    ("2.15.0", _SPATIAL_DROPOUT, "trainable", ANYTHING),
    ("2.15.0", _SPATIAL_DROPOUT, "noise_shape", None),
    ("2.12.0", "MultiHeadAttention", "query_shape", ANYTHING),
    ("2.12.0", "MultiHeadAttention", "key_shape", ANYTHING),
    ("2.12.0", "MultiHeadAttention", "value_shape", ANYTHING),
    ("2.21.0", "MultiHeadAttention Softmax", "softmax_robust_masking", ANYTHING),  # where nothing may be attended to
    ("2.21.0", _RANDOM, "rng_type", ANYTHING),
    ("2.4.0", "InputLayer", "ragged", False),
    ("2.12.0", "InputLayer", "type_spec", None),
    ("2.12.0", _RECURRENT, "time_major", False),
    ("2.12.0", f"{_RECURRENT} {_CELLS}", "implementation", ANYTHING),  # how, not what
    ("2.12.0", "Embedding", "input_length", ANYTHING),
    ("2.12.0", "Embedding", "sparse", False),
    ("2.15.0", "BatchNormalization", "synchronized", ANYTHING),  # with one device they are the same
    ("2.4.0", "BatchNormalization", "renorm", False),
    ("2.4.0", "BatchNormalization", "fused", ANYTHING),
    ("2.4.0", "BatchNormalization", "virtual_batch_size", None),
    ("2.4.0", "BatchNormalization", "adjustment", None),
    ("2.4.0", "Attention AdditiveAttention", "causal", False),
    ("2.15.0", "StackedRNNCells", "reverse_state_order", False),
)
"""Settings that Keras 3 does not know, and the value with which nothing is lost."""

_OWN_LAYERS = frozenset({"layer", "backward_layer", "cell", "cells"})
"""Settings that hold layers."""

_MODELS = frozenset({"Functional", "Sequential"})


def translated(config: object, custom: Collection[str] = ()) -> Config:
    """A model's configuration as Keras 3 writes it; `custom` are names of classes that are not Keras's.

    Raises Untranslatable saying what has no counterpart.
    """
    if not isinstance(config, dict) or "class_name" not in config:
        raise Untranslatable("its configuration is not that of a model")
    return _layer(config, frozenset(custom))


def _layer(entry: object, custom: frozenset[str]) -> Config:
    """A layer or model."""
    if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
        raise Untranslatable("a layer of its configuration has no class")
    # "Custom>Adam" is a registered name, "experimental.preprocessing.Rescaling" a path.
    written = entry["class_name"].rpartition(">")[2].rpartition(".")[2]
    name = _CLASSES.get(written, (EVERY, written))[1]
    settings = entry.get("config")
    if name == "Sequential" and isinstance(settings, list):
        settings = {"layers": settings}
    if not isinstance(settings, dict):
        raise Untranslatable(f"a {name} of its configuration has no settings")
    if written in custom or entry.get("registered_name") in custom:
        return {"module": None, "class_name": written, "config": settings, "registered_name": written}
    if name == "Sequential":
        return _known("keras", name, _sequential(settings, custom))
    if name == "Functional" or "input_layers" in settings:
        return _known("keras.src.models.functional", "Functional", _functional(settings, custom))
    if not isinstance(getattr(keras.layers, name, None), type):
        raise Untranslatable(f"it needs {name}, which Keras does not have", name)
    return _known("keras.layers", name, _settings(written, name, settings, custom))


def _known(module: str, name: str, config: Config) -> Config:
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def _sequential(settings: Config, custom: frozenset[str]) -> Config:
    """Keras 3 wants the input as a layer; Keras 2 may have it in the first layer only, or beside the layers."""
    entries = _list(settings.get("layers"), "the layers of a Sequential")
    layers = [_layer(entry, custom) for entry in entries]
    if layers and layers[0]["class_name"] not in {"InputLayer", *_MODELS}:
        first = entries[0]["config"] if isinstance(entries[0].get("config"), dict) else {}
        shape = first.get("batch_input_shape") or settings.get("build_input_shape")
        if shape is not None:
            dtype = _dtype(first.get("dtype")) if first.get("batch_input_shape") else None
            entry = {
                "batch_shape": _plain(shape),
                "dtype": dtype or "float32",
                "name": f"{layers[0]['config'].get('name')}_input",
            }
            layers.insert(0, _known("keras.layers", "InputLayer", entry))
    return {"name": "sequential", **_kept(settings), "layers": layers}


def _functional(settings: Config, custom: frozenset[str]) -> Config:
    entries = _list(settings.get("layers"), "the layers of a model")
    found = calls(entries, settings.get("output_layers"))
    layers = []
    for entry in entries:
        kind = str(entry.get("class_name")).rpartition(">")[2]
        if is_function(entry):
            layer, nodes = function(entry, found)
        else:
            layer = _layer(entry, custom)
            nodes = [
                node(item, found, recurrent=kind in {*_RECURRENT.split(), "Bidirectional"})
                for item in _list(entry.get("inbound_nodes", []), "the calls of a layer")
            ]
        layers.append({**layer, "name": name_of(entry), "inbound_nodes": nodes})
    kinds = {layer["name"]: layer["class_name"] for layer in layers}
    ends = {key: outputs(settings.get(key), found, kinds) for key in ("input_layers", "output_layers")}
    return {**_kept(settings), "layers": layers, **ends}


def _kept(settings: Config) -> Config:
    """What a model has beside its layers."""
    return {key: settings[key] for key in ("name", "trainable") if key in settings}


def _settings(written: str, name: str, settings: Config, custom: frozenset[str]) -> Config:
    """The settings of a layer of Keras's own."""
    if name == "Lambda":
        raise Untranslatable(f"layer {settings.get('name')!r} is a Lambda, which is code in a file", "Lambda")
    result = dict(settings)
    for _, of, old, new in _RENAMED:
        if written in of.split() and old in result:
            result[new] = result.pop(old)
    for _, of, key, neutral in _GONE:
        if key in result and (of == EVERY or name in of.split()):
            value = result.pop(key)
            if neutral is not ANYTHING and value != neutral and value is not None:
                raise Untranslatable(f"layer {result.get('name')!r} has {key} {value!r}, which Keras 3 does not do")
    return {key: _setting(key, value, custom) for key, value in result.items()}


def _setting(key: str, value: Any, custom: frozenset[str]) -> Any:
    if key in _OWN_LAYERS:
        many = isinstance(value, list)
        return [_layer(item, custom) for item in value] if many else value and _layer(value, custom)
    if key.endswith(("_initializer", "_regularizer", "_constraint")):
        return _object(value)
    if key.endswith("activation"):
        return _activation(value, custom)
    if key == "dtype":
        return _dtype(value)
    if key == "name" and isinstance(value, str):
        return value.replace("/", ".")
    if key == "axis" and isinstance(value, list) and len(value) == 1:
        return value[0]
    return _plain(value)


def _activation(value: Any, custom: frozenset[str]) -> Any:
    """A function by its name, or a layer."""
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = value.get("config")
    if isinstance(value, dict):
        return _layer(value, custom)
    # Another line since 3.0: relu6(x + 3) / 6; seen in 2.15.0.
    return keras.saving.serialize_keras_object(hard_sigmoid_of_keras_2) if value == "hard_sigmoid" else value


def _object(value: Any) -> Any:
    """An initialiser, a regulariser or a constraint; or just its name."""
    if not isinstance(value, dict):
        return value
    settings = settings_of(value)
    kept = {key: _plain(item) for key, item in settings.items() if key != "dtype"}  # seen in 2.3.0
    return {"class_name": str(value.get("class_name")).rpartition(">")[2], "config": kept}


def _dtype(value: Any) -> Any:
    """The name of a type or policy."""
    if isinstance(value, dict):
        settings = value.get("config")
        value = settings.get("name") if isinstance(settings, dict) else None
    return value


def _plain(value: Any) -> Any:
    """Without the ways in which Keras 2 wrote tuples, shapes and numbers of NumPy's."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value:
            return _plain(value["items"])
        if value.get("class_name") == "__numpy__" and isinstance(value.get("config"), dict):
            return value["config"].get("value")
        if value.get("type") == "ndarray":
            return value.get("value")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise Untranslatable(f"{what} are not a list")
    return value


def layers_of(config: Config) -> list[Config]:
    """The layers of a model as Keras 2 wrote them."""
    settings = config["config"]
    return list(settings if isinstance(settings, list) else settings["layers"])


def name_of(entry: Mapping[str, Any]) -> str:
    """A layer's name here. Keras 3 has no "/" in names; seen in 2.12.0: "Conv/BatchNorm"."""
    settings = entry.get("config")
    name = entry.get("name") or (settings.get("name") if isinstance(settings, dict) else None)
    if not isinstance(name, str):
        raise Untranslatable("a layer of its configuration has no name")
    return name.replace("/", ".")


@keras.saving.register_keras_serializable("edgett")  # type: ignore[untyped-decorator]
def hard_sigmoid_of_keras_2(x: Any) -> Any:
    """The straight line between 0 at -2.5 and 1 at 2.5."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)
