"""The spaces of layers given by size as a picture: what each form can make of parameters and peak memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgett.forms import cost
from edgett.forms.front import Space
from edgett.report.looks import by_form
from edgett.report.picture import Axis, Hue, Mark, Panel, Picture, Points, Rules, Scale
from edgett.report.space_plots import PARAMS
from edgett.report.words import count
from edgett.search.sized import Sized

PEAK = "elements alive at once"

MOST_DOTS = 5000
"""About so many solutions are drawn one by one in a panel; of more, every second, third, ... of each form."""

SAME = "FLOPs are not drawn, for they follow the parameters: each weight meets every pixel of the image."


def sized_picture(sized: Sized) -> Picture:
    """A panel for each layer: the elements that are alive at once against parameters, around the dense layer."""
    title = f"Design space: ranks in multiples of {sized.search.rank_multiple}, {count(sized.solutions)} solutions"
    return Picture(title, tuple(map(_panel, sized.taken)), columns=2, remarks=tuple(_remarks(sized)))


def _panel(space: Space) -> Panel:
    dense, rows = cost.dense(space.layer), _rows(space)
    specs, costs = [space.specs[row] for row in rows], [space.costs[row] for row in rows]
    drawn = f" ({len(rows):,} drawn)" if len(rows) < len(space) else ""
    params, peaks = ([getattr(each, name) for each in costs] for name in ("params", "peak_elements"))
    labels = tuple(
        f"{spec}\n{each.params:,} parameters, {each.flops:,} FLOPs\n{each.peak_elements:,} {PEAK}"
        for spec, each in zip(specs, costs, strict=True)
    )
    return Panel(
        f"{space.layer.size}: {len(space):,} smaller and cheaper{drawn} of {count(space.solutions)} solutions",
        Axis.around(PARAMS, np.array([*params, dense.params]), Scale.LOG),
        Axis.around(PEAK, np.array([*peaks, dense.peak_elements]), Scale.LOG),
        (
            Rules("dense", (dense.params,), (dense.peak_elements,), Hue.GREY, dashed=True),
            *by_form(Points("", tuple(params), tuple(peaks), Mark.DOT, Hue.GREY, labels), specs),
        ),
    )


def _rows(space: Space) -> list[int]:
    """The solutions that are drawn."""
    step, forms = 1 + (len(space) - 1) // MOST_DOTS, dict[str, list[int]]()
    for row, spec in enumerate(space.specs):
        forms.setdefault(spec.form, []).append(row)
    return [row for rows in forms.values() for row in rows[::step]]


def _remarks(sized: Sized) -> Iterator[str]:
    if sized.taken:
        yield SAME
    for found, _ in sized.layers:
        if found.excluded is not None:
            yield f"left alone: {found.layer.size}: {found.excluded}"
