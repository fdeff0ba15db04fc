"""What C takes that stores factors and rebuilds weights, beside its alternatives; see `benchmark.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from edgett.device import emulator
from edgett.device.program import Program
from edgett.export import c
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.spec import Spec
from edgett.forms.svd import SVDShape
from edgett.forms.tt.shape import TTShape
from edgett.forms.window import Window

SAMPLES = 4
DRAW = np.random.default_rng(0)


def hold(machine: Annotated[str, typer.Option(help=f"Of {', '.join(emulator.BOARDS)}.")] = "mps2-an386") -> None:
    """Flash, RAM and instructions of int8 C: dense weights stored; factors, one after the other; weights rebuilt."""
    print(f"{'layer':32} {'in C':22} {'flash':>9} {'RAM':>9} {'instructions':>13} {'a MAC':>6}")
    for title, model, spec in _cases():
        for way, source in _sources(model, spec):
            ends = sum(port.bytes for port in (*source.inputs, *source.outputs))
            program = Program(source.name, source.header, source.code, source.inputs, source.outputs)
            inputs = {port.name: DRAW.normal(size=port.shape).astype(np.float32) for port in source.inputs}
            taken = emulator.count_on_board(program, inputs, machine).instructions
            sizes = f"{source.weight_bytes:9,} {source.workspace_bytes + ends:9,}"
            print(f"{title:32} {way:22} {sizes} {taken:13,} {taken / _macs(spec):6.2f}", flush=True)
    print("a MAC: instructions by the multiply-accumulates of the dense layer")


def _cases() -> list[tuple[str, Any, Spec]]:
    """Models of one layer."""
    import keras

    def dense(inputs: int, outputs: int) -> Any:
        return keras.Sequential([keras.Input((inputs,), name="x"), keras.layers.Dense(outputs, name="layer")])

    def convolution(size: int, channels: int) -> Any:
        layer = keras.layers.Conv2D(channels, 3, padding="same", name="layer")
        return keras.Sequential([keras.Input((size, size, channels), name="x"), layer])

    keras.utils.set_random_seed(0)
    window = Window((3, 3), (8, 8))
    return [
        ("784 -> 300, SVD 8", dense(784, 300), SVDShape(784, 300, 8)),
        ("784 -> 300, TT 28x28, 8", dense(784, 300), TTShape((28, 28), (15, 20), (1, 8, 1))),
        ("784 -> 300, TT of 4, 8", dense(784, 300), TTShape((4, 7, 4, 7), (5, 5, 4, 3), (1, 8, 8, 8, 1))),
        ("3x3, 64 to 64, spatial SVD 16", convolution(8, 64), SpatialSVD(window, 64, 64, 16)),
        ("3x3, 64 to 64, CP 32", convolution(8, 64), CP(window, 64, 64, 32)),
    ]


def _sources(model: Any, spec: Spec) -> list[tuple[str, c.CSource]]:
    from edgett.model.held import rebuilt_from_factors
    from edgett.model.layers import replace
    from edgett.workflow import files

    samples = {"x": DRAW.normal(size=(SAMPLES, *model.inputs[0].shape[1:])).astype(np.float32)}
    style = files.Style(1, files.batches(samples, 1))
    factored = replace(model, {"layer": spec})
    held = rebuilt_from_factors(factored, model)
    with tempfile.TemporaryDirectory() as folder:
        paths = [files.write(one, style, Path(folder) / name, [".onnx"])[0]
                 for name, one in (("form", factored), ("dense", held.model))]  # fmt: skip
        form, dense = (c.generate(path, "model", "1") for path in paths)
        rebuilt = c.generate(paths[1], "model", "1", held.rebuilt)
    return [("dense, stored", dense), ("--hold weights", form), ("--hold factors", rebuilt)]


def _macs(spec: Spec) -> int:
    rows, columns = spec.matrix
    return rows * columns * (spec.window.positions if isinstance(spec, (CP, SpatialSVD)) else 1)
