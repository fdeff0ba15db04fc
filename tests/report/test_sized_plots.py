"""The pictures of spaces of layers given by size."""

from __future__ import annotations

import pytest

from edgett.forms import cost
from edgett.forms.front import Search
from edgett.forms.site import parse_layer
from edgett.report import draw, sized_plots
from edgett.report.draw import PictureFormat
from edgett.report.picture import Points, Rules
from edgett.report.sized_plots import sized_picture
from edgett.search import sized
from edgett.search.sized import Sized
from tests.report.test_picture import plotted, shown


@pytest.fixture(scope="module")
def two() -> Sized:
    sizes = ("3x3x16x12@6x6", "1x1x24x16@4x4", "1x1x2x2@4x4")
    return sized.explore([*map(parse_layer, sizes)], Search())


def test_every_solution_is_a_point_of_its_form(two: Sized) -> None:
    drawn = sized_picture(two)
    assert len(drawn.panels) == len(two.taken) == 2
    for panel, space in zip(drawn.panels, two.taken, strict=True):
        found = {
            (label, series.name, x, y)
            for series in panel.layers
            if isinstance(series, Points)
            for label, x, y in zip(series.labels, series.x, series.y, strict=True)
        }
        assert found == {
            (
                f"{spec}\n{each.params:,} parameters, {each.flops:,} FLOPs\n"
                f"{each.peak_elements:,} elements alive at once",
                spec.title,
                each.params,
                each.peak_elements,
            )
            for spec, each in zip(space.specs, space.costs, strict=True)
        }
        (rule,) = [layer for layer in panel.layers if isinstance(layer, Rules)]
        dense = cost.dense(space.layer)
        assert (rule.x, rule.y) == ((dense.params,), (dense.peak_elements,))
        for _, _, x, y in (*found, ("", "", dense.params, dense.peak_elements)):
            assert panel.x.low < x < panel.x.high and panel.y.low < y < panel.y.high
    assert drawn.panels[0].title == (
        f"3x3x16x12@6x6: {len(two.taken[0])} smaller and cheaper of {two.taken[0].solutions} solutions"
    )
    assert drawn.title == f"Design space: ranks in multiples of 4, {two.solutions:,} solutions"
    assert drawn.remarks[-1] == "left alone: 1x1x2x2@4x4: no chain of smaller convolutions is smaller"


def test_flops_follow_the_parameters(two: Sized) -> None:
    """That is why they are not drawn."""
    for space in two.taken:
        bias, pixels = space.layer.outputs, space.layer.positions
        for each in space.costs:
            assert each.flops == pixels * (2 * (each.params - bias) + bias)


def test_the_legend_names_the_forms(two: Sized) -> None:
    titles = {"dense", "spatial SVD", "CP", "channel SVD", "Tucker-2", "TT", "SVD"}
    drawn = sized_picture(two)
    assert {series.name for series in drawn.legend} == titles
    text = shown(draw.drawn(drawn, PictureFormat.SVG))
    assert all(title in text for title in titles)
    traces, _ = plotted(draw.drawn(drawn, PictureFormat.HTML).decode())
    shown_once = [trace["name"] for trace in traces if trace.get("showlegend")]
    assert sorted(shown_once) == sorted(titles)
    looks = {(trace["marker"]["color"], trace["marker"]["symbol"]) for trace in traces if "marker" in trace}
    assert len(looks) == len(titles - {"dense"})


def test_of_too_many_some_of_every_form_are_drawn(two: Sized, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sized_plots, "MOST_DOTS", 20)
    panel = sized_picture(two).panels[0]
    series = [layer for layer in panel.layers if isinstance(layer, Points)]
    count = sum(len(each.x) for each in series)
    assert count < 30 and f" ({count} drawn) of " in panel.title
    assert {each.name for each in series} == {spec.title for spec in two.taken[0].specs}


def test_nothing_to_draw() -> None:
    drawn = sized_picture(sized.explore([parse_layer("1x1x2x2@4x4")], Search()))
    assert drawn.panels == () and len(drawn.remarks) == 1
    for form in PictureFormat:
        assert draw.drawn(drawn, form)
