"""Networks as people put on microcontrollers, small and trained on the spot, and what `edgett deploy` makes of them.

`python tools/gallery.py` prints README's table: each is deployed for cortex-m4, in int8 where its layers can be. With
`--models FOLDER` its Keras files are, too, int8 ranges taken from random inputs: bytes, peak and operators stay.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import typer
from keras import layers
from numpy.typing import NDArray

from edgett.export.flatbuffer import parsed

Arrays = dict[str, NDArray[Any]]

SAMPLES = {"train": 400, "val": 200, "test": 200}
EPOCHS = 5


@dataclass(frozen=True)
class Exhibit:
    """A network: what builds it, the classes it tells apart (0: it gives its input again), the integers it reads."""

    build: Callable[[], keras.Model]
    classes: int = 4
    vocabulary: int = 0
    recurrent: bool = False

    @property
    def dtype(self) -> str:
        """The type in which it is deployed: TensorFlow makes no int8 of recurrent layers."""
        return "float32" if self.recurrent else "int8"

    def make(self, folder: Path, name: str) -> tuple[Path, Path]:
        """The trained model and its data, as files."""
        keras.utils.set_random_seed(1)
        model = self.build()
        for layer in model.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.momentum = 0.8  # so few steps are to fill its statistics
        arrays = self._samples(model)
        model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy" if self.classes else "mse")
        model.fit(_fed(model, arrays, "train"), arrays["y_train"], 32, EPOCHS, verbose=0)
        model.save(folder / f"{name}.keras")
        np.savez(folder / f"{name}.npz", **arrays)
        return folder / f"{name}.keras", folder / f"{name}.npz"

    def _samples(self, model: keras.Model) -> Arrays:
        """Noise around a centre a class; of integers, words that a class prefers; mixtures of four where none is."""
        random, count = np.random.default_rng(0), self.classes or 4
        shapes = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
        centres = {name: random.normal(size=(count, *shape)) for name, shape in shapes.items()}
        arrays: Arrays = {}
        for part, size in SAMPLES.items():
            y = np.arange(size) % count
            share = random.normal(size=(size, count)) if self.classes == 0 else np.eye(count)[y]
            for name, shape in shapes.items():
                key = f"x_{part}" if len(shapes) == 1 else f"x_{part}.{name}"
                noise = 0.5 if self.classes else 0.1
                arrays[key] = np.tensordot(share, centres[name], 1) + noise * random.normal(size=(size, *shape))
                arrays[key] = arrays[key].astype(np.float32)
                if self.vocabulary:
                    near = random.integers(0, self.vocabulary // count, (size, *shape))
                    arrays[key] = (near + (self.vocabulary // count) * y[:, None]).astype(np.int32)
            arrays[f"y_{part}"] = y if self.classes else arrays[f"x_{part}"]
        return arrays


def _fed(model: keras.Model, arrays: Mapping[str, NDArray[Any]], part: str) -> Any:
    if len(model.inputs) == 1:
        return arrays[f"x_{part}"]
    return {tensor.name: arrays[f"x_{part}.{tensor.name}"] for tensor in model.inputs}


def _normed(x: Any, layer: layers.Layer) -> Any:
    return layers.ReLU()(layers.BatchNormalization()(layer(x)))


def autoencoder() -> keras.Model:
    """As MLPerf Tiny's for anomalies of machines."""
    x = inputs = layers.Input((64,))
    for units in (48, 48, 8, 48, 48):
        x = _normed(x, layers.Dense(units))
    return keras.Model(inputs, layers.Dense(64)(x))


def ds_cnn() -> keras.Model:
    """Depthwise separable convolutions on a spectrogram, for keywords."""
    inputs = layers.Input((49, 10, 1))
    x = _normed(inputs, layers.Conv2D(32, (10, 4), strides=2, padding="same", use_bias=False))
    for _ in range(2):
        x = _normed(x, layers.DepthwiseConv2D(3, padding="same", use_bias=False))
        x = _normed(x, layers.Conv2D(32, 1, use_bias=False))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(x))


def mobilenet() -> keras.Model:
    """Keras's own, a quarter as wide, on small images."""
    return keras.applications.MobileNet((64, 64, 3), alpha=0.25, weights=None, classes=4)


def resnet() -> keras.Model:
    """Two stages of residual blocks."""
    inputs = layers.Input((24, 24, 3))
    x = _normed(inputs, layers.Conv2D(8, 3, padding="same"))
    for filters, stride in ((8, 1), (16, 2)):
        y = _normed(x, layers.Conv2D(filters, 3, strides=stride, padding="same"))
        y = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(y))
        x = layers.ReLU()(layers.Add()([y, x if stride == 1 else layers.Conv2D(filters, 1, strides=stride)(x)]))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Flatten()(layers.AveragePooling2D(6)(x))))


def lstm() -> keras.Model:
    """A recurrent classifier of sequences."""
    return keras.Sequential([layers.Input((29, 12)), layers.LSTM(24), layers.Dense(4, activation="softmax")])


def gru() -> keras.Model:
    """The same, with the other cell."""
    return keras.Sequential([layers.Input((29, 12)), layers.GRU(24), layers.Dense(4, activation="softmax")])


def transformer() -> keras.Model:
    """One encoder block."""
    inputs = layers.Input((29, 12))
    x = layers.Dense(32)(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 16)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(32)(layers.Dense(64, activation="relu")(x)))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling1D()(x)))


def cnn_lstm() -> keras.Model:
    """Convolutions over time, then a recurrent layer."""
    return keras.Sequential(
        [
            layers.Input((64, 6)),
            layers.Conv1D(16, 5, activation="relu"),
            layers.MaxPooling1D(4),
            layers.LSTM(16),
            layers.Dense(4, activation="softmax"),
        ]
    )


def four_inputs() -> keras.Model:
    """Sensors that are read apart and judged together."""
    inputs = [layers.Input((size,), name=name) for name, size in (("acc", 24), ("gyro", 24), ("mag", 12), ("temp", 4))]
    x = layers.Concatenate()([layers.Dense(16, activation="relu")(tensor) for tensor in inputs])
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Dense(32, activation="relu")(x)))


def embeddings() -> keras.Model:
    """Words to vectors, their mean, a verdict."""
    inputs = layers.Input((20,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(200, 16)(inputs))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Dense(24, activation="relu")(x)))


GALLERY = {
    "autoencoder": Exhibit(autoencoder, classes=0),
    "ds-cnn": Exhibit(ds_cnn),
    "mobilenet": Exhibit(mobilenet),
    "resnet": Exhibit(resnet),
    "lstm": Exhibit(lstm, recurrent=True),
    "gru": Exhibit(gru, recurrent=True),
    "transformer": Exhibit(transformer),
    "cnn-lstm": Exhibit(cnn_lstm, recurrent=True),
    "four-inputs": Exhibit(four_inputs),
    "embeddings": Exhibit(embeddings, vocabulary=200),
}

TARGET = "cortex-m4"


def drawn(model: Path, folder: Path) -> Path:
    """Random squares of colour, or decibels, for a model that comes without data, to take int8's ranges from."""
    from edgett.model.models import load_model

    random = np.random.default_rng(0)
    (tensor,) = load_model(model).inputs
    place, shape = folder / f"{model.stem}.npz", tensor.shape[1:]
    if shape[-1] == 3:
        x = random.uniform(0, 255, (256, 8, 8, 3))
        x = x.repeat(-(-shape[0] // 8), 1).repeat(-(-shape[1] // 8), 2)[:, : shape[0], : shape[1]]
    else:
        x = random.normal(-20, 20, (256, *shape))
    np.savez(place, x_train=x.astype(np.float32))
    return place


def deploy(model: Path, data: Path, dtype: str, out: Path, more: Sequence[str] = ()) -> dict[str, Any]:
    """The document of `edgett deploy` with `more` options; "exit" is its exit code."""
    command = [sys.executable, "-m", "edgett", "deploy", model, "--data", data, "--target", TARGET, "--dtype", dtype]
    done = subprocess.run([*command, "--out", out, "--json", *more], capture_output=True, text=True)
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise RuntimeError(done.stdout + done.stderr) from error
    return document | {"exit": done.returncode}


def operators(file: Path) -> Counter[str]:
    """How often each operator stands in a .tflite."""
    from edgett.export.tflite import operator_name

    model = parsed(file.read_bytes())
    return Counter(operator_name(model, operator) for graph in model.subgraphs for operator in graph.operators)


def row(name: str, dtype: str, out: Path, document: Mapping[str, Any]) -> str:
    """A line of the table."""
    file = out / document["baseline"]["artifacts"]["tflite"]["path"]
    check, peak = (
        document["check"]["artifacts"]["artifacts/baseline.tflite"],
        document["baseline"]["peak_activation_bytes"],
    )
    kinds = operators(file)
    over = [item["name"] for item in document["constraints"] if item["holds"] is False]
    cells = [
        name, dtype, f"{document['baseline']['params']:,}", f"{file.stat().st_size:,}",
        f"{peak:,}", f"{sum(kinds.values())} ({len(kinds)})", check["verdict"],
        "over: " + ", ".join(over) if over else "holds",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def rows(folder: Path, models: Path | None) -> Iterator[str]:
    """The lines of the table, as they are made."""
    for file in sorted(models.glob("*.h5")) if models else ():
        out = folder / f"run-{file.name}"
        # What is lost on random inputs tells nothing.
        yield row(file.name, "int8", out, deploy(file, drawn(file, folder), "int8", out, ("--max-drop", "100")))
    for name, exhibit in GALLERY.items():
        out = folder / f"run-{name}"
        yield row(name, exhibit.dtype, out, deploy(*exhibit.make(folder, name), exhibit.dtype, out))


def main(
    models: Annotated[Path | None, typer.Option(help="A folder of Keras files to deploy as well.")] = None,
) -> None:
    """Deploy them all, and print the table."""
    print("| model | type | parameters | bytes | peak | operators (kinds) | cross-check | budgets |")
    print("|---|---|---:|---:|---:|---:|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for line in rows(Path(folder), models):
            print(line, flush=True)


if __name__ == "__main__":
    typer.run(main)
