"""What a .tflite in int8 gains by ranges and weights that are chosen for what flows through it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgett.device import local
from edgett.export import tflite
from edgett.model.inference import inference_form
from edgett.model.servable import Servable

L = keras.layers
COUNT = 96


def network() -> keras.Model:
    """Two links, as of a chain: many channels made of few, and large weights that cancel each other out."""
    keras.utils.set_random_seed(0)
    made = keras.Sequential([
        keras.Input((12, 12, 3), name="x"), L.Conv2D(48, 1, use_bias=False, name="a"),
        L.Conv2D(8, 3, strides=2, name="b"), L.Flatten(name="f"),
    ], name="m")  # fmt: skip
    near, far = (np.asarray(made.get_layer(name).kernel) for name in "ab")
    idle = np.linalg.svd(near[0, 0])[2][3:]  # directions that no image takes
    more = np.random.default_rng(0).normal(size=(3, 3, len(idle), 8)).astype(np.float32)
    made.get_layer("b").kernel.assign(far + 0.3 * np.einsum("rc,hwrn->hwcn", idle, more))
    return made


def images(seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    common = 2.0 * random.normal(size=(COUNT, 12, 12, 1))
    return (common + 0.3 * random.normal(size=(COUNT, 12, 12, 3))).astype(np.float32)


def plainly(model: keras.Model, path: Path) -> Path:
    """As TensorFlow alone makes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite, "refined", lambda content, *others: content)
        return written(model, path)


def written(model: keras.Model, path: Path, floats: Callable[[list[str]], bool] | None = None) -> Path:
    tflite.write(Servable(inference_form(model, 1)), path, [{"x": one[None]} for one in images(0)], floats)
    return path


def error(model: keras.Model, path: Path) -> float:
    """Relative, on images that nothing was calibrated on."""
    x = images(1)
    (found,) = local.run(path, {"x": x}, 1).values()
    wanted = np.asarray(model(x))
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def weights(path: Path, operator: str) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Of each such operator the numbers that are stored, outputs first, and their scales."""
    model = tflite._parsed(path)
    found = []
    for each in model.subgraphs[0].operators:
        if tflite.operator_name(model, each) == operator:
            tensor = model.subgraphs[0].tensors[each.inputs[1]]
            stored = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.int8)
            found.append((stored.reshape(tensor.shape[0], -1), np.asarray(tensor.quantization.scale)))
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plainly(network(), tmp_path_factory.mktemp("plain") / "m.tflite")


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(network(), tmp_path_factory.mktemp("chosen") / "m.tflite")


def test_the_outputs_are_nearer_to_the_model(plain: Path, chosen: Path) -> None:
    model = network()
    assert error(model, chosen) < 0.8 * error(model, plain)


def test_weights_fill_their_scales_and_not_all_are_the_nearest(plain: Path, chosen: Path) -> None:
    moved = 0
    for (before, _), (after, _) in zip(weights(plain, "CONV_2D"), weights(chosen, "CONV_2D"), strict=True):
        assert np.abs(after.astype(int)).max(axis=1).tolist() == [127] * len(after)
        moved += int((after != before).sum())
    assert moved > 100


def test_the_ends_keep_their_ranges(plain: Path, chosen: Path) -> None:
    ranges = []
    for path in (plain, chosen):
        body = tflite._parsed(path).subgraphs[0]
        held = [body.tensors[index].quantization for index in (*body.inputs, *body.outputs)]
        ranges.append([(float(one.scale[0]), int(one.zeroPoint[0])) for one in held])
    for mine, theirs in zip(*ranges, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


def test_it_is_the_same_each_time(chosen: Path, tmp_path: Path) -> None:
    assert written(network(), tmp_path / "again.tflite").read_bytes() == chosen.read_bytes()


def test_a_layer_in_float32_keeps_its_weights(tmp_path: Path) -> None:
    model = network()
    path = written(model, tmp_path / "m.tflite", lambda names: any(name.startswith("b") for name in names))
    found = tflite._parsed(path)
    every = [bytes(buffer.data) for buffer in found.buffers if buffer.data is not None]
    kernel = np.ascontiguousarray(np.asarray(model.get_layer("b").kernel).transpose(3, 0, 1, 2), np.float32)
    assert kernel.tobytes() in every


def shared() -> keras.Model:
    """A convolution that runs twice."""
    keras.utils.set_random_seed(1)
    x = keras.Input((12, 12, 3), name="x")
    layer = L.Conv2D(3, 3, padding="same", name="a")
    return keras.Model(x, L.Flatten()(layer(layer(x))))


def grouped() -> keras.Model:
    keras.utils.set_random_seed(2)
    x = keras.Input((12, 12, 3), name="x")
    y = L.DepthwiseConv2D(3, depth_multiplier=2, name="d")(x)
    y = L.Conv2D(4, (3, 1), dilation_rate=(2, 1), padding="same", name="a")(y)
    return keras.Model(x, L.Dense(1, name="end")(L.Flatten()(L.Conv1D(4, 5, name="r")(L.Reshape((100, 4))(y)))))


@pytest.mark.slow
@pytest.mark.parametrize("build", [shared, grouped])
def test_whatever_else_there_is_comes_out_right(build: Callable[[], keras.Model], tmp_path: Path) -> None:
    model = build()
    found, before = (error(model, make(model, tmp_path / f"{make.__name__}.tflite")) for make in (written, plainly))
    assert found < 1.05 * before < 0.2
