"""Whole models: plain C, C without an FPU, with DSP instructions, dot products and Helium give the same bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.device.emulated.programs import HERE
from edgett.device.emulator import count_on_board
from edgett.device.program import Program
from edgett.export import c
from edgett.model.tt_dense import TTDense
from tests.export import test_int8
from tests.export.compiled import templates_are_compiled_once  # noqa: F401
from tests.export.kernels.harness import WAYS
from tests.firmware.tools import needs

L = keras.layers
INPUTS = 3000
ONCE = "void count(void (*run)(void)) {\n    run();\n}\n"


def outputs(program: Program, way: str, inputs: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """What a model makes of inputs, compiled in this way."""
    compiler, emulator = WAYS[way]
    folder.mkdir()
    program.write(folder)
    program.given(inputs).tofile(folder / "inputs.bin")
    (folder / "the-model.h").write_text(program.glue())
    (folder / "once.c").write_text(ONCE)
    sources: Sequence[str | Path] = (f"{program.name}.c", HERE / "main.c", "once.c")
    command = [*compiler, "-std=c99", "-I.", *sources, "-lm", "-o", "model"]
    subprocess.run(command, cwd=folder, check=True)
    subprocess.run([*emulator, "./model"], cwd=folder, check=True, timeout=300)
    return program.made(folder / "outputs.bin", len(next(iter(inputs.values()))))


def trains() -> keras.Model:
    """Tensor trains of two and three cores, with rows that are odd in number."""
    inputs = keras.Input((60,), name="x")
    x = TTDense((5, 12), (9, 5), (1, 6, 1), activation="relu", name="one")(inputs)
    x = TTDense((3, 5, 3), (4, 3, 2), (1, 5, 4, 1), activation="tanh", name="two")(x)
    return keras.Model(inputs, L.Dense(7, name="three")(x))


def images() -> keras.Model:
    """Convolutions of all kinds, a sum of two tensors, pooling."""
    inputs = keras.Input((9, 9, 3), name="x")
    x = L.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    y = L.Conv2D(8, 1)(L.DepthwiseConv2D(3, padding="same")(L.Conv2D(12, 1)(x)))
    x = L.Conv2D(10, (3, 2), strides=2, activation="relu6")(L.Add()([x, y]))
    x = L.DepthwiseConv2D(3, strides=2, padding="same")(x)
    return keras.Model(inputs, L.Dense(7)(L.GlobalAveragePooling2D()(x)))


def bent() -> keras.Model:
    """Products without a bias that are looked up in a table before the next, at a size where blocks would save RAM."""
    inputs = keras.Input((16,), name="x")
    x = TTDense((4, 4), (16, 16), (1, 2, 1), activation="tanh", use_bias=False, name="one")(inputs)
    x = TTDense((16, 16), (2, 2), (1, 2, 1), name="two")(x)
    return keras.Model(inputs, L.Dense(7, name="three")(x))


def dense() -> keras.Model:
    """Products of sizes that are no multiples of four, nor of sixteen."""
    x = inputs = keras.Input((37,), name="x")
    for units in (66, 19, 5, 64, 103):
        x = L.Dense(units, "relu")(x)
    return keras.Model(inputs, L.Dense(7)(x))


@needs("gcc", "arm-none-eabi-gcc", "qemu-system-arm")
@pytest.mark.parametrize("build", [images, *(pytest.param(one, marks=pytest.mark.slow) for one in (trains, dense))])
def test_helium_gives_the_same_bytes(build: Callable[[], keras.Model], tmp_path: Path) -> None:
    """On a board with a Cortex-M55, whose C has instructions that no Linux has."""
    keras.utils.set_random_seed(5)
    source = c.generate(test_int8.export(build(), tmp_path / "model.onnx").path, "net", "1")
    program = Program("net", source.header, source.code, source.inputs, source.outputs)
    inputs = {"x": np.random.default_rng(11).normal(size=(12, *source.inputs[0].shape[1:])).astype("f4")}
    found = count_on_board(program, inputs, "mps3-an547").outputs
    for port, values in outputs(program, "plain", inputs, tmp_path / "plain").items():
        assert len(np.unique(values, axis=0)) > 6
        np.testing.assert_array_equal(values, found[port])


@needs("gcc", "arm-linux-gnueabihf-gcc", "qemu-arm", "aarch64-linux-gnu-gcc", "qemu-aarch64")
@pytest.mark.parametrize(
    "build", [trains, *(pytest.param(one, marks=pytest.mark.slow) for one in (images, bent, dense))]
)
def test_all_give_the_same_bytes(build: Callable[[], keras.Model], tmp_path: Path) -> None:
    keras.utils.set_random_seed(5)
    source = c.generate(test_int8.export(build(), tmp_path / "model.onnx").path, "net", "1")
    assert "static uint32_t net_workspace_int8[" in source.code, "LDRD and STM fault where a place is no multiple of 4"
    program = Program("net", source.header, source.code, source.inputs, source.outputs)
    shape = source.inputs[0].shape[1:]
    inputs = {"x": np.random.default_rng(11).normal(size=(INPUTS, *shape)).astype("f4")}
    plain, *others = (outputs(program, way, inputs, tmp_path / way.replace(", ", " ")) for way in WAYS)
    for port, values in plain.items():
        assert len(np.unique(values)) > 50 and len(np.unique(values, axis=0)) > INPUTS / 2
        for other in others:
            np.testing.assert_array_equal(values, other[port])
