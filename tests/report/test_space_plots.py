"""The pictures of explorations."""

from __future__ import annotations

import itertools
import json

import pytest

from edgett.forms import cost
from edgett.forms.site import CostModel, Found, Layer
from edgett.report import draw
from edgett.report.draw import PictureFormat
from edgett.report.picture import Heat, Note, Panel, Picture, Points, Rules, Scale
from edgett.report.space_plots import CORNERS, space_picture, units
from edgett.search.choices import EmptyTiles
from edgett.search.corners import DIRECTIONS
from edgett.search.explore import Exploration, Grid, explore
from tests.report.test_picture import plotted, shown

MODELS = pytest.mark.parametrize("model", CostModel)


def explored(
    *found: Found | Layer, model: CostModel = CostModel.EXACT, ranks: tuple[int, ...] = (2, 3, 4)
) -> Exploration:
    items = [item if isinstance(item, Found) else Found(item) for item in found]
    return explore(items, Grid(ranks, 4, EmptyTiles.SKIP, model))


def of(panel: Panel, kind: type) -> list:
    return [layer for layer in panel.layers if isinstance(layer, kind)]


@MODELS
def test_panels_of_a_layer(model: CostModel) -> None:
    layer = Layer("fc", 64, 48)
    exploration = explored(layer, model=model)
    space, dense = exploration.layers[0][1], cost.dense(layer)
    whole, grid = space_picture(exploration).panels
    assert space is not None

    assert whole.title == f"fc (64x48): {space.solutions:,} solutions"
    assert (whole.x.scale, whole.y.scale) == (Scale.LOG, Scale.LOG)
    assert of(whole, Heat)[0].counts.sum() == space.solutions
    assert (of(whole, Points)[0].x, of(whole, Points)[0].y) == ((dense.params,), (dense.flops,))
    (notes, shares) = zip(*((note.text.split("\n"), note.text.split("\n")[1]) for note in of(whole, Note)), strict=True)
    assert sum(int(lines[2].replace(",", "")) for lines in notes) == space.solutions
    assert f"{space.efficient:,}" == notes[0][2] and notes[0][0] == "smaller, cheaper"
    assert shares[0] == f"{100 * space.efficient / space.solutions:.2f} %"

    assert grid.title == f"fc (64x48): {space.efficient:,} efficient, {len(space.corners)} of 16 tiles"
    assert of(grid, Heat)[0].counts.sum() == space.efficient
    assert len(of(grid, Rules)[0].x) == len(of(grid, Rules)[0].y) == 5
    for number, points in enumerate(of(grid, Points)):
        drawn = zip(points.x, points.y, points.labels, strict=True)
        for (tile, four), (params, flops, label) in zip(space.corners.items(), drawn, strict=True):
            corner = four[number]
            assert (corner.params, corner.flops) == (params, flops)
            assert f"tile ({tile[0]}, {tile[1]})" in label and str(corner.shape) in label


def test_corners_are_told_apart_as_they_are_chosen() -> None:
    for (name, mark, _), (params, flops) in zip(CORNERS, DIRECTIONS, strict=True):
        assert ("most parameters" in name) == (params > 0)
        assert name.endswith("most FLOPs" if flops > 0 else "fewest FLOPs") or name.endswith("parameters and FLOPs")
        assert mark.value == f"{'upper' if flops > 0 else 'lower'} {'right' if params > 0 else 'left'}"


def test_every_corner_lies_inside_its_panel() -> None:
    grid = space_picture(explored(Layer("fc", 64, 48))).panels[1]
    for points in of(grid, Points):
        assert all(grid.x.low < x < grid.x.high for x in points.x)
        assert all(grid.y.low < y < grid.y.high for y in points.y)


@pytest.mark.slow
@MODELS
def test_layers_of_one_size_share_panels_and_others_are_told(model: CostModel) -> None:
    names = ("a", "b<script>", "c", "d")
    found = [Layer(name, 36, 24) for name in names] + [Layer("e", 36, 24, bias=False), Layer("4x4", 4, 4)]
    exploration = explored(*found, Found(Layer("digit", 24, 10), "too small"), Layer("p", 7, 11), model=model)
    heard: list[int] = []
    drawn = space_picture(exploration, heard.append)

    assert [panel.title.split(":")[0] for panel in drawn.panels] == [
        "a, b<script> and 2 more (36x24)", "a, b<script> and 2 more (36x24)", "e (36x24)", "e (36x24)", "4x4", "4x4",
    ]  # fmt: skip
    assert drawn.panels[5].title == "4x4: no efficient solution"
    assert of(drawn.panels[5], Note)[0].text == "none of its 3 solutions is smaller and cheaper than dense"
    assert [remark.split(":")[1] for remark in drawn.remarks] == [" 4x4 (4x4)", " digit (24x10)", " p (7x11)"]
    assert sum(heard) == units(exploration) == 3 * 5
    text = shown(draw.drawn(drawn, PictureFormat.SVG))
    assert "b<script> and 2 more" in text and "digit (24x10): too small" in text
    assert "b&lt;script&gt; and 2 more" in json.dumps(plotted(draw.drawn(drawn, PictureFormat.HTML).decode()))


def test_nothing_to_draw_says_so() -> None:
    assert space_picture(explored()) == Picture(
        "TT design space: exact cost model, max ranks 2 to 4, 4 x 4 tiles", (), remarks=("no layer",)
    )
    assert space_picture(explored(Layer("p", 7, 11))).panels == ()
    too_large = space_picture(explored(Layer("huge", 1 << 20, 1 << 10), ranks=(8,)))
    assert too_large.panels == () and "more than the" in too_large.remarks[0]


@pytest.mark.parametrize(
    ("ranks", "text"), [((3,), "max rank 3,"), ((2, 3), "max ranks 2 to 3,"), ((2, 8, 9), "3 max ranks from 2 to 9,")]
)
def test_title_tells_the_ranks(ranks: tuple[int, ...], text: str) -> None:
    assert text in space_picture(explored(Layer("fc", 8, 8), ranks=ranks)).title


def test_five_layers_and_a_single_solution() -> None:
    sizes = itertools.pairwise((64, 36, 25, 35, 16, 12))
    drawn = space_picture(explored(*(Layer(f"fc{x}", x, y) for x, y in sizes), ranks=(1,)))

    assert len(drawn.panels) == 10
    assert draw.drawn(drawn, PictureFormat.PNG)
