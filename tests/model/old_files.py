"""Files as Keras 2 wrote them, and a script that has tf-keras write some."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Weights = Mapping[str, Sequence[tuple[str, np.ndarray]]]


def layer(kind: str, name: str, reads: Any = (), **settings: Any) -> dict[str, Any]:
    """A layer of a functional model, which reads the first outputs of others unless told how."""
    calls = [[[item, 0, 0, {}] for item in reads]] if isinstance(reads, tuple) else reads
    return {
        "class_name": kind,
        "config": {"name": name, **settings},
        "name": name,
        "inbound_nodes": calls if reads else [],
    }


def entry(name: str, *shape: int | None) -> dict[str, Any]:
    settings = {"batch_input_shape": [None, *shape], "dtype": "float32", "sparse": False, "ragged": False}
    return layer("InputLayer", name, **settings)


def functional(layers: Sequence[Any], ends: Any, name: str = "model") -> dict[str, Any]:
    first = [[item["name"], 0, 0] for item in layers if item["class_name"] == "InputLayer"]
    settings = {"name": name, "layers": list(layers), "input_layers": first, "output_layers": ends}
    return {"class_name": "Functional", "config": settings}


def write(
    path: Path, config: Any, weights: Weights | None = None, training: Any = None, version: str = "2.4.0"
) -> Path:
    """An HDF5 file of Keras 2."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = version.encode(), b"tensorflow"
        file.attrs["model_config"] = json.dumps(config).encode()
        if training is not None:
            file.attrs["training_config"] = json.dumps(training).encode()
        stored = file.create_group("model_weights")
        stored.attrs["layer_names"] = [name.encode() for name in weights or {}]
        for name, arrays in (weights or {}).items():
            group = stored.create_group(name)
            group.attrs["weight_names"] = [key.encode() for key, _ in arrays]
            for key, array in arrays:
                group.create_dataset(key, data=array)
    return path


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


WRITE = """
import sys
import numpy as np
import tf_keras as keras
L, folder = keras.layers, sys.argv[1]

def mobile():
    x = keras.Input((16, 16, 3))
    h = L.BatchNormalization()(L.Conv2D(8, 3, use_bias=False, kernel_regularizer="l2")(x))
    h = L.DepthwiseConv2D(3, padding="same", name="block/depthwise")(L.ReLU(6.0)(h))
    h = L.Dense(4, activation="softmax")(L.GlobalAveragePooling2D()(L.SeparableConv2D(8, 3)(h)))
    m = keras.Model(x, h)
    m.compile(keras.optimizers.legacy.Adam(0.002, decay=1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return m

def transformer():
    x = keras.Input((10, 16))
    h = L.LayerNormalization()(x + L.MultiHeadAttention(2, 8)(x, x))
    h = h + keras.Sequential([L.Dense(32, activation="gelu"), L.Dropout(0.1), L.Dense(16)])(h)
    return keras.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(h)))

def recurrent():
    x = keras.Input((7, 5))
    y, h, c = L.LSTM(6, return_state=True, return_sequences=True, recurrent_activation="hard_sigmoid")(x)
    z = L.LSTM(6, return_sequences=True)(y, initial_state=[h, c])
    z = L.TimeDistributed(L.Dense(4))(L.Bidirectional(L.GRU(4, return_sequences=True))(z))
    return keras.Model(x, L.RNN([L.LSTMCell(3), L.GRUCell(4, reset_after=False)])(z))

def nested():
    a = keras.Input((12,))
    inner = keras.Model(a, L.BatchNormalization()(L.Dense(6, name="fc")(a)), name="inner")
    s = keras.Sequential([L.Dense(12, activation="relu", trainable=False), L.Dense(12)], name="seq")
    x = keras.Input((12,))
    twice = s(s(x))
    return keras.Model(x, [L.Subtract()([inner(x), inner(s(x))]), twice, inner(twice)])

def arithmetic():
    x = keras.Input((4, 6))
    h = keras.backend.mean(1.0 - (x * 2.0 + x) / 3.0, axis=-1, keepdims=True)
    h = keras.activations.relu(h) + x[:, 1:2]
    return keras.Model(x, L.Flatten()(h))

random = np.random.default_rng(0)
for make in (mobile, transformer, recurrent, nested, arithmetic):
    model = make()
    model.set_weights([np.abs(random.normal(0, 0.4, w.shape)) + 0.1 for w in model.get_weights()])
    x = random.normal(size=(3, *model.input_shape[1:])).astype("float32")
    y = model.predict(x, verbose=0)
    many = y if isinstance(y, list) else [y]
    np.savez(f"{folder}/{make.__name__}.npz", x=x, **{f"y{i}": v for i, v in enumerate(many)})
    for suffix in ("h5", "keras"):
        model.save(f"{folder}/{make.__name__}.{suffix}")
mobile().save(f"{folder}/saved", save_format="tf")
"""
