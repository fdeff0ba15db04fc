"""The benchmark of convolutions in forms: `python tools/benchmark.py convolutions`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from benchmark_layers import Call, litert, measured

from edgett.forms import cost
from edgett.forms.catalogue import FORMS
from edgett.forms.convolution.chain import Chain
from edgett.forms.convolution.form import Chained
from edgett.forms.site import Layer, parse_layer
from edgett.graph.dtype import DType
from edgett.workflow import files

LAYERS = ("3x3x64x64@8x8", "3x3x64x64@16x16", "3x3x128x128@8x8", "1x1x128x128@16x16")
SHARES = (0.5, 0.3)
"""Of the MACs of dense, that a form has about."""

ALLOWED = 0.15
"""By so much the time over that of dense may be above the share of the MACs."""

SAMPLES = 8
"""Random images that int8 is calibrated on."""


@dataclass(frozen=True)
class Timed:
    """A form of a layer: its share of the MACs of dense, and of its time."""

    macs: float
    time: float

    @property
    def excess(self) -> float:
        """By how much the share of the time is larger."""
        return self.time - self.macs


def convolutions(
    layer: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(LAYERS)}, or others.")] = None,
    rounds: Annotated[int, typer.Option(help="Turns of each way; its median counts.")] = 40,
    turn: Annotated[float, typer.Option(help="Milliseconds that a way has each turn.")] = 4,
    multiple: Annotated[int, typer.Option("--rank-multiple", help="What ranks are multiples of.")] = 4,
) -> None:
    """Convolutions in every form as edgett exports them, one sample, one thread of LiteRT, against dense ones.

    The weights are random; what is exported is checked against its prediction.
    """
    worst: dict[str, float] = {}
    for text in layer or LAYERS:
        site = parse_layer(text)
        for dtype in (DType.FLOAT32, DType.INT8):
            found = _timed(site, dtype, rounds, turn / 1000, multiple)
            for spec, one in found.items():
                print(f"{text:18} {dtype.value:8} {spec!s:46} MACs {one.macs:.2f}  time {one.time:.2f}", flush=True)
                form = f"{spec.title}, {dtype.value}"
                worst[form] = max(worst.get(form, one.excess), one.excess)
    print(f"\nby how much the share of the time is above that of the MACs, at most (goal {ALLOWED})")
    for form, excess in worst.items():
        print(f"{form:24} {excess:+.2f}")


def _timed(site: Layer, dtype: DType, rounds: int, turn: float, multiple: int) -> dict[Chain, Timed]:
    specs = [*_specs(site, multiple)]
    with tempfile.TemporaryDirectory() as folder:
        ways = {str(spec): _way(site, spec, dtype, Path(folder)) for spec in (None, *specs)}
        times = measured(ways, rounds, turn)
    whole = cost.dense(site).macs
    return {spec: Timed(cost.held(site, spec).macs / whole, times[str(spec)] / times["None"]) for spec in specs}


def _specs(site: Layer, multiple: int) -> Iterator[Chain]:
    """Of each form that fits the chain next to each share."""
    whole = cost.dense(site).macs
    for form in FORMS:
        if not isinstance(form, Chained) or form.unfit(site) is not None:
            continue
        costs = {spec: cost.held(site, spec).macs / whole for spec in form.spec.every(site, multiple)}
        yield from dict.fromkeys(min(costs, key=lambda spec: abs(costs[spec] - share)) for share in SHARES)


def _way(site: Layer, spec: Chain | None, dtype: DType, folder: Path) -> Call:
    """A layer that is exported, checked and ready to run."""
    from edgett.model.convolved import Convolved  # isort: skip  # silences TensorFlow before it is imported
    import keras

    assert site.window is not None
    random = np.random.default_rng(0)
    dense = keras.layers.Conv2D(site.outputs, site.window.kernel, padding="same", bias_initializer="random_normal")
    entry = keras.Input((*site.window.size, site.channels), name="x")
    dense.build(entry.shape)
    layer = dense if spec is None else Convolved.from_dense(dense, spec)
    model = keras.Model(entry, layer(entry))
    x = {"x": random.normal(size=(SAMPLES, *entry.shape[1:])).astype(np.float32)}
    style = files.Style() if dtype is DType.FLOAT32 else files.Style(calibration=files.batches(x, 1))
    stem = folder / f"{len(list(folder.iterdir()))}"
    (path,) = files.write(model, style, stem, (".tflite",))
    (found,) = files.check(model, x, [Path(path.name)], folder, style).values()
    if not found.ok:
        raise RuntimeError(f"{spec or site.name} is not what was predicted: {found}")
    return litert(path.read_bytes(), None, None)
