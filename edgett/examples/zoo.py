"""The networks built in as `example:` names, the paper's and two of MLPerf Tiny: how each is trained from scratch."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from edgett.errors import ModelError
from edgett.examples.clock import SIZE, clock_arrays
from edgett.meter import Meter
from edgett.model.ports import feed, wanted
from edgett.train.data import Data, data_from_arrays


@dataclass(frozen=True)
class Example:
    """A network: `build` makes it compiled and untrained.

    `dataset` is what its authors trained it on, by the name that edgett knows it by; None where it knows none.
    `draw(seed)` makes its data, or is None if the user has to give them. `epochs` and `batch_size` train its baseline,
    at the compiled learning rate falling to zero along a cosine.
    """

    name: str
    build: Callable[[], keras.Model]
    dataset: str | None
    draw: Callable[[int], Data] | None
    epochs: int
    batch_size: int


def example(name: str) -> Example:
    """The example of that name, without the `example:` in front. Raises ModelError for a name there is none of."""
    examples = _examples()
    if name in examples:
        return examples[name]
    nearest = difflib.get_close_matches(name.lower(), examples, n=1, cutoff=0.5)
    hint = f"Did you mean example:{nearest[0]}? " if nearest else ""
    known = ", ".join(f"example:{known}" for known in examples)
    raise ModelError(f"There is no example {name!r}.", cure=f"{hint}The examples are {known}.")


def train(example: Example, data: Data, seed: int, meter: Meter) -> keras.Model:
    """The example trained from scratch on `data.train`, with a fresh optimiser; the same seed gives the same weights.

    Sets the seeds of Python, NumPy and TensorFlow.
    """
    model = untrained(example, seed)
    batches = example.epochs * math.ceil(len(data.train) / example.batch_size)
    with meter.stage(f"training the baseline {example.name}, {example.epochs} epochs", batches) as advance:
        model.fit(
            feed(model, data.train.x),
            wanted(model, data.train.y),
            batch_size=example.batch_size,
            epochs=example.epochs,
            callbacks=[_cosine(model, example.epochs), _Progress(advance)],
            verbose=0,
        )
    return with_weights(example, model.get_weights())


def untrained(example: Example, seed: int) -> keras.Model:
    """The example with initial weights, the same for the same seed. Sets the seeds as `train` does."""
    keras.utils.set_random_seed(seed)
    return example.build()


def with_weights(example: Example, weights: Sequence[np.ndarray]) -> keras.Model:
    """The example with these weights, in the order of `get_weights`. Raises ValueError when they do not fit."""
    model = example.build()
    model.set_weights(list(weights))
    return model


def clock_data(seed: int) -> Data:
    """The clock faces: input `image`, outputs `hour` and `minute`."""
    return data_from_arrays(clock_arrays(seed), clock(), seed)


def lenet300() -> keras.Model:
    """LeNet300: FC 784-300-100-10 on 28x28 grey images, 266,610 parameters."""
    image = keras.Input((28, 28), name="image")
    x = layers.Flatten(name="flatten")(_scaled(image))
    x = layers.Dense(300, activation="relu", name="fc1")(x)
    x = layers.Dense(100, activation="relu", name="fc2")(x)
    return _compiled("lenet300", image, {"fc3": layers.Dense(10, activation="softmax", name="fc3")(x)})


def lenet5() -> keras.Model:
    """LeNet5: two convolutions, FC 400-120-84-10, on 28x28 grey images, 61,706 parameters."""
    image = keras.Input((28, 28), name="image")
    x = layers.Reshape((28, 28, 1), name="channel")(_scaled(image))
    x = layers.Conv2D(6, 5, padding="same", activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(16, 5, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(120, activation="relu", name="fc1")(x)
    x = layers.Dense(84, activation="relu", name="fc2")(x)
    return _compiled("lenet5", image, {"fc3": layers.Dense(10, activation="softmax", name="fc3")(x)})


def alexnet() -> keras.Model:
    """AlexNet for 32x32 colour images: five convolutions, FC 256-4096-4096-1000-10, 25,730,466 parameters."""
    image = keras.Input((32, 32, 3), name="image")
    x = _normalised(layers.Conv2D(96, 11, strides=4, padding="same", name="conv1"), _scaled(image))
    x = layers.MaxPooling2D(name="pool1")(x)
    x = _normalised(layers.Conv2D(256, 5, padding="same", name="conv2"), x)
    x = layers.MaxPooling2D(name="pool2")(x)
    for index, channels in enumerate((384, 384, 256), start=3):
        x = _normalised(layers.Conv2D(channels, 3, padding="same", name=f"conv{index}"), x)
    x = layers.MaxPooling2D(name="pool3")(x)
    x = layers.Flatten(name="flatten")(x)
    for index, units in enumerate((4096, 4096, 1000), start=1):
        x = _normalised(layers.Dense(units, name=f"fc{index}"), x)
    return _compiled("alexnet", image, {"fc4": layers.Dense(10, activation="softmax", name="fc4")(x)})


def vgg16() -> keras.Model:
    """VGG16 for 32x32 colour images: 13 convolutions, four poolings, FC 2048-4096-4096-10, 39,979,338 parameters."""
    image = keras.Input((32, 32, 3), name="image")
    x = _scaled(image)
    for block, (channels, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
        for index in range(1, depth + 1):
            x = _normalised(layers.Conv2D(channels, 3, padding="same", name=f"conv{block}_{index}"), x)
        if block < 5:
            x = layers.MaxPooling2D(name=f"pool{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    for index in (1, 2):
        x = _normalised(layers.Dense(4096, name=f"fc{index}"), x)
    return _compiled("vgg16", image, {"fc3": layers.Dense(10, activation="softmax", name="fc3")(x)})


def clock() -> keras.Model:
    """Clock: a small CNN on 36x36 grey images, 4536 features, a head each for hour and minute, 955,998 parameters."""
    image = keras.Input((SIZE, SIZE), name="image")
    x = layers.Reshape((SIZE, SIZE, 1), name="channel")(_scaled(image))
    x = layers.Conv2D(16, 4, strides=2, padding="same", activation="relu", name="conv1")(x)
    x = layers.Conv2D(32, 3, strides=3, padding="same", activation="relu", name="conv2")(x)
    x = layers.Conv2D(126, 3, padding="same", activation="relu", name="conv3")(x)
    x = layers.Flatten(name="flatten")(x)
    hour = layers.Dense(100, activation="relu", name="hour_fc")(x)
    minute = layers.Dense(100, activation="relu", name="minute_fc")(x)
    outputs = {
        "hour": layers.Dense(12, activation="softmax", name="hour")(hour),
        "minute": layers.Dense(60, activation="softmax", name="minute")(minute),
    }
    return _compiled("clock", image, outputs, learning_rate=3e-3)


def resnet8() -> keras.Model:
    """ResNet8 of MLPerf Tiny for 32x32 colour images: residual stacks of 16, 32 and 64 channels, 78,666 parameters.

    77,706 of them are left when batch normalisation is folded. Every convolution has a bias.
    """
    image = keras.Input((32, 32, 3), name="image")
    x = _normalised(layers.Conv2D(16, 3, padding="same", name="conv1"), _scaled(image))
    for stack, channels in enumerate((16, 32, 64), start=2):
        strides = 1 if stack == 2 else 2
        y = _normalised(layers.Conv2D(channels, 3, strides=strides, padding="same", name=f"conv{stack}_1"), x)
        y = layers.Conv2D(channels, 3, padding="same", name=f"conv{stack}_2")(y)
        y = layers.BatchNormalization(name=f"conv{stack}_2_bn")(y)
        if strides > 1:
            x = layers.Conv2D(channels, 1, strides=strides, padding="same", name=f"shortcut{stack}")(x)
        x = layers.ReLU(name=f"add{stack}_relu")(layers.Add(name=f"add{stack}")([x, y]))
    x = layers.AveragePooling2D(8, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    return _compiled("resnet8", image, {"fc": layers.Dense(10, activation="softmax", name="fc")(x)})


def dscnn() -> keras.Model:
    """DS-CNN of MLPerf Tiny: one of 12 words in 49 frames of 10 cepstral coefficients, 24,908 parameters.

    A convolution of 10x4, then four of 3x3 in each channel, each with a pointwise one behind it. Coefficients have no
    scale of their own, so nothing scales them here.
    """
    frames = keras.Input((49, 10, 1), name="frames")
    x = _normalised(layers.Conv2D(64, (10, 4), strides=2, padding="same", name="conv1"), frames)
    x = layers.Dropout(0.2, name="dropout1")(x)
    for block in range(2, 6):
        x = _normalised(layers.DepthwiseConv2D(3, padding="same", name=f"depthwise{block}"), x)
        x = _normalised(layers.Conv2D(64, 1, padding="same", name=f"pointwise{block}"), x)
    x = layers.Dropout(0.4, name="dropout2")(x)
    x = layers.AveragePooling2D((25, 5), name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    return _compiled("dscnn", frames, {"word": layers.Dense(12, activation="softmax", name="word")(x)})


def _examples() -> dict[str, Example]:
    # The paper trains all of its own for 100 epochs; AlexNet and VGG16 take minutes an epoch without a GPU. MLPerf Tiny
    # trains ResNet8 for 500 on images that it turns, shifts and mirrors; 20 on images as they are were reckoned to take
    # half an hour on two cores. Neither that nor what they reach was measured, nor anything of DS-CNN on recordings.
    known = (
        Example("clock", clock, "clock faces", clock_data, epochs=10, batch_size=32),
        Example("lenet300", lenet300, "mnist", None, epochs=12, batch_size=128),
        Example("lenet5", lenet5, "mnist", None, epochs=10, batch_size=128),
        Example("alexnet", alexnet, "cifar10", None, epochs=20, batch_size=128),
        Example("vgg16", vgg16, "cifar10", None, epochs=20, batch_size=32),
        Example("resnet8", resnet8, "cifar10", None, epochs=20, batch_size=64),
        Example("dscnn", dscnn, None, None, epochs=30, batch_size=32),
    )
    return {example.name: example for example in known}


def _scaled(image: Any) -> Any:
    return layers.Rescaling(1 / 255, name="rescaling")(image)


def _normalised(layer: keras.layers.Layer, x: Any) -> Any:
    """The linear layer, batch normalisation, then ReLU: in this order the normalisation folds into the weights."""
    x = layers.BatchNormalization(name=f"{layer.name}_bn")(layer(x))
    return layers.ReLU(name=f"{layer.name}_relu")(x)


def _compiled(name: str, image: Any, outputs: Mapping[str, Any], learning_rate: float = 1e-3) -> keras.Model:
    model = keras.Model(image, list(outputs.values()) if len(outputs) > 1 else next(iter(outputs.values())), name=name)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=dict.fromkeys(outputs, "sparse_categorical_crossentropy"),
        metrics={output: ["accuracy"] for output in outputs},
        # XLA brings these networks no speed on a CPU and compiles for seconds each time.
        jit_compile=False,
    )
    return model


def _cosine(model: keras.Model, epochs: int) -> keras.callbacks.Callback:
    start = float(model.optimizer.learning_rate)
    return keras.callbacks.LearningRateScheduler(lambda epoch: start * (1 + math.cos(math.pi * epoch / epochs)) / 2)


class _Progress(keras.callbacks.Callback):
    """Tells `advance` of every batch."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        super().__init__()
        self._advance = advance

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._advance(1)
