"""Replaced layers that do not pay go back: which one int8 costs most, to what, and what the model then costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgett.graph.filesize import Format
from edgett.search.explore import Costing, dense_solution
from edgett.search.solution import Refuge, Trial
from edgett.workflow.files import Style, predicted, tensors


def worst(
    model: Any, path: Path, samples: Mapping[str, NDArray[Any]], layers: Sequence[str], batch: int
) -> tuple[str, float]:
    """The layer that adds the most noise in an int8 file, and the signal-to-noise ratio of its output in dB.

    What it adds, not what it hands on: behind a bad layer all are noisy.
    """
    from edgett.export.tensors import Role, own_noise

    rows = tensors(model, path, samples, layers, batch)
    layer = max(layers, key=lambda name: own_noise(rows, name))
    outputs = (row.snr_db for row in rows if row.layer == layer and row.role is Role.OUTPUT)
    return layer, min(outputs, default=math.inf)


def back(model: Any, original: Any, layer: str, to: Refuge, style: Style) -> tuple[Any, Style]:
    """The model and the style of its files with one replaced layer gone back."""
    if to is Refuge.FLOAT32:
        return model, replace(style, floats=style.floats | {layer})
    return without(model, original, [layer]), style


def without(model: Any, original: Any, layers: Iterable[str]) -> Any:
    """The model with dense layers in place of replaced ones of these names."""
    from edgett.model.layers import factored_layers
    from edgett.model.restore import dense_again

    held = factored_layers(model)
    kept = held.keys() - factored_layers(original).keys() - set(layers)
    return dense_again(model, original, {path: layer.spec for path, layer in held.items() if path in kept})


def costed(trial: Trial, model: Any, style: Style, costing: Costing) -> Trial:
    """The trial with what its model costs, some of whose layers are dense again or in float32."""
    from edgett.model.layers import factored_layers

    graph = predicted(model, costing.form.suffix, style)
    if graph.fused and costing.instructions is not None:
        graph = replace(graph, in_c=predicted(model, Format.C.suffix, style))
    found = dense_solution(graph, costing)
    held = factored_layers(model)
    edits = {path: spec for path, spec in trial.solution.edits.items() if path in held}
    was = trial.solution
    now = replace(found, number=was.number, edits=edits, loss=was.loss, removed=was.removed)
    return replace(trial, solution=now)
