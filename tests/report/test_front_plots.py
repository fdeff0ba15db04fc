"""The pictures of Pareto sets."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from edgett.forms import cost
from edgett.forms.front import ONE, Front, Search
from edgett.forms.site import Estimate, Found, Layer
from edgett.report import draw, draw_page, front_plots, page
from edgett.report.draw import PictureFormat
from edgett.report.front_plots import CANDIDATES, DENSE, OF_TWO, UNDOMINATED, front_picture
from edgett.report.picture import Hue, Panel, Picture, Points, Rules, Scale
from edgett.search import whole
from edgett.search.together import Share
from edgett.search.whole import Weighed, Whole
from tests.report.test_picture import NASTY, plotted, shown

SEARCH = Search(2, 8)


def explored(*found: Found | Layer, search: Search = SEARCH) -> Whole:
    """The Pareto sets of layers with arbitrary weights."""
    random = np.random.default_rng(0)
    items = [item if isinstance(item, Found) else Found(item) for item in found]
    layers = [Weighed(item, random.normal(size=(item.layer.inputs, item.layer.outputs))) for item in items]
    return whole.explore(layers, search, Share())


@pytest.fixture(scope="module")
def two() -> Whole:
    return explored(Layer("wide", 64, 48), Layer("<b>narrow", 48, 36), Found(Layer("digit", 36, 10), "too small"))


def series(panel: Panel, name: str) -> Points:
    (found,) = (layer for layer in panel.layers if isinstance(layer, Points) and layer.name == name)
    return found


def forms(panel: Panel) -> list[Points]:
    """The series of a layer's forms."""
    return [layer for layer in panel.layers if isinstance(layer, Points) and layer.name != OF_TWO]


def rules(panel: Panel) -> tuple[float, ...]:
    return tuple(place for layer in panel.layers if isinstance(layer, Rules) for place in layer.x)


def lowest(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Those to which no other one is as good in both, by ascending cost."""
    kept = {a for a in points if not any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in points)}
    return sorted(kept)


@pytest.mark.parametrize(("column", "cost_name"), [(0, "params"), (1, "flops")])
def test_panels_of_a_layer(two: Whole, column: int, cost_name: str) -> None:
    drawn = front_picture(two)
    for number, front in enumerate(two.taken):
        panel = drawn.panels[2 * number + column]
        costs = [getattr(each, cost_name) for each in front.costs]
        points = list(zip(costs, [error.estimate for error in front.errors], strict=True))
        best = series(panel, OF_TWO)

        assert list(zip(best.x, best.y, strict=True)) == [(x, pytest.approx(y, rel=1e-5)) for x, y in lowest(points)]
        assert best.joined and best.stairs and best.size == 0
        every = sorted(point for dots in forms(panel) for point in zip(dots.x, dots.y, strict=True))
        assert every == [(x, pytest.approx(y, rel=1e-5)) for x, y in sorted(points)]
        assert rules(panel) == (getattr(cost.dense(front.layer), cost_name),)
        assert (panel.x.scale, panel.y.scale) == (Scale.LOG, Scale.LINEAR)
        size = f"{front.layer.inputs}x{front.layer.outputs}"
        told = f"{front.layer.name} ({size}): {len(front):,} undominated of {front.solutions:,} solutions"
        assert panel.title == told


def test_labels_and_brackets_are_of_their_point(two: Whole) -> None:
    front = two.taken[0]
    rows = {str(shape): row for row, shape in enumerate(front.specs)}
    for panel in front_picture(two).panels[:2]:
        best, at = series(panel, OF_TWO), {}
        for points in forms(panel):
            for x, y, label in zip(points.x, points.y, points.labels, strict=True):
                shape, costs, error = label.split("\n")
                each, bracket = front.costs[rows[shape]], front.errors[rows[shape]]
                at[x, y] = bracket
                assert costs == f"{each.params:,} parameters, {each.flops:,} FLOPs"
                assert error == f"error {y:.3g}, between {bracket.low:.3g} and {bracket.high:.3g}"
                assert points.name == front.specs[rows[shape]].title
        for (low, high), x, y in zip(best.whiskers, best.x, best.y, strict=True):
            bracket = at[x, y]
            assert (low, high) == (pytest.approx(bracket.low, rel=1e-5), pytest.approx(bracket.high, rel=1e-5))
            assert low <= y <= high


def test_forms_are_told_apart_as_everywhere(two: Whole) -> None:
    drawn = front_picture(two)
    assert {spec.title for front in two.taken for spec in front.specs} == {"TT", "SVD"}
    for panel in drawn.panels[:4]:
        assert {points.name for points in forms(panel)} <= {"TT", "SVD"}
    named = [layer for layer in drawn.legend if isinstance(layer, Points)]
    looks = {each.name: (each.hue, each.mark) for each in named if each.size}
    assert {"TT", "SVD", UNDOMINATED, CANDIDATES} == {*looks} and len({*looks.values()}) == 4
    assert "TT" in shown(draw.drawn(drawn, PictureFormat.SVG))


@pytest.mark.parametrize("estimate", Estimate)
def test_panels_of_the_layers_together(estimate: Estimate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "MOST_CANDIDATES", 20)
    both = explored(Layer("a", 64, 48), Layer("b", 48, 36), search=replace(SEARCH, estimate=estimate))
    joint = both.joint
    assert 0 < len(both.candidates) <= 20 < len(joint) and both.epsilon
    drawn = front_picture(both)
    assert len(drawn.panels) == 6
    for panel, costs in zip(drawn.panels[4:], (joint.params, joint.flops), strict=True):
        few, rest, best = (series(panel, name) for name in (CANDIDATES, UNDOMINATED, OF_TWO))
        assert len(few.x) == len(both.candidates) and len(few.x) + len(rest.x) == len(joint)
        assert sorted((*few.x, *rest.x)) == sorted(costs.tolist())
        points = list(zip(costs.tolist(), (joint.loss / ONE).tolist(), strict=True))
        assert list(zip(best.x, best.y, strict=True)) == [(x, pytest.approx(y, rel=1e-5)) for x, y in lowest(points)]
        assert best.size == 0
        assert {label.split("\n")[0].split(": ")[1] for label in few.labels} == {
            str(shapes.get("a", DENSE)) for shapes in (candidate.edits for candidate in both.candidates)
        }
        assert panel.title == f"together: {len(joint)} undominated, {len(both.candidates)} candidates"
        assert ("all bonds" if estimate is Estimate.KEPT_ENERGY else "worst bonds") in panel.y.title
    assert rules(drawn.panels[4]) == (sum(cost.dense(front.layer).params for front in joint.fronts),)
    assert drawn.remarks[-1] == (
        f"together: the candidates stand for all, none more than {both.epsilon:.1%} above the one it stands for"
    )


def test_a_candidate_tells_its_layers_costs_and_loss(two: Whole) -> None:
    joint = two.joint
    few = series(front_picture(two).panels[4], CANDIDATES)
    labels = {
        "\n".join(
            [f"{front.layer.name}: {shape or 'dense'}" for front, shape in zip(joint.fronts, shapes, strict=True)]
            + [f"{params:,} parameters, {flops:,} FLOPs", f"expected loss {loss / ONE:.4g}"]
        )
        for shapes, params, flops, loss in zip(
            joint.specs, joint.params.tolist(), joint.flops.tolist(), joint.loss.tolist(), strict=True
        )
    }
    assert set(few.labels) <= labels and any(": dense\n" in label for label in few.labels)


def test_everything_lies_inside_its_panel(two: Whole) -> None:
    for panel in front_picture(two).panels:
        assert all(panel.x.low < x < panel.x.high for x in rules(panel))
        for points in (layer for layer in panel.layers if isinstance(layer, Points)):
            assert all(panel.x.low < x < panel.x.high for x in points.x)
            assert all(panel.y.low < y < panel.y.high for y in (*points.y, *itertools.chain(*points.whiskers)))


@pytest.mark.slow
def test_the_title_counts_and_names_are_text(two: Whole) -> None:
    drawn = front_picture(two)
    assert drawn.title == f"Pareto sets: ranks in multiples of 2 up to 8, {two.solutions:,} solutions"
    assert drawn.remarks[-1] == "left alone: digit (36x10): too small"
    assert "<b>narrow (48x36)" in shown(draw.drawn(drawn, PictureFormat.SVG))
    text = draw.drawn(drawn, PictureFormat.HTML).decode()
    assert "&lt;b&gt;narrow" in json.dumps(plotted(text)) and "<b>narrow" not in text
    assert draw.drawn(drawn, PictureFormat.PNG) == draw.drawn(front_picture(two), PictureFormat.PNG)


@pytest.mark.slow
def test_a_hostile_name() -> None:
    drawn = front_picture(explored(Layer(NASTY, 64, 48), Layer(f"{NASTY}2", 48, 36), Found(Layer("x", 8, 8), NASTY)))
    assert "\x07" not in json.dumps([drawn.title, *(panel.title for panel in drawn.panels), *drawn.remarks])
    for form in PictureFormat:
        assert draw.drawn(drawn, form)


def test_one_layer_has_no_row_of_its_own_for_all() -> None:
    drawn = front_picture(explored(Layer("64x48", 64, 48), Layer("p", 7, 2)))
    assert [panel.title.split(":")[0] for panel in drawn.panels] == ["64x48", "64x48"]
    assert drawn.remarks[1].startswith("left alone: p (7x2): no two factorisations")


def test_nothing_to_draw_says_so() -> None:
    assert front_picture(explored()) == Picture(
        "Pareto sets: ranks in multiples of 2 up to 8, 0 solutions", (), remarks=("no layer",)
    )
    assert front_picture(explored(Layer("p", 7, 2))).panels == ()


def test_a_long_front_is_thinned_and_a_count_beyond_reading_rounded(
    two: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_plots, "MOST_DOTS", 8)
    long = replace(two, layers=tuple((found, front and _huge(front)) for found, front in two.layers))
    drawn = front_picture(long)
    for panel, front in zip(drawn.panels[::2], long.taken, strict=False):
        dots = sum(len(points.x) for points in forms(panel))
        assert dots < len(front)
        assert panel.title.endswith(f": {len(front)} undominated ({dots} drawn) of 1.20e+15 solutions")
    assert len(series(drawn.panels[4], CANDIDATES).x) == len(two.candidates)
    assert drawn.title.endswith("1.44e+30 solutions")


def _huge(front: Front) -> Front:
    return replace(front, solutions=12 * 10**14)


def test_a_thinned_front_says_so(two: Whole) -> None:
    thin = two.thinned(8)
    drawn = front_picture(thin)
    assert [remark.split(", ")[0] for remark in drawn.remarks[1:3]] == [
        "wide (64x48): thinned", "<b>narrow (48x36): thinned",
    ]  # fmt: skip
    assert f"{thin.taken[0].epsilon:.1%}" in drawn.remarks[1]
    assert sum(len(points.x) for points in forms(drawn.panels[0])) == len(thin.taken[0])


def test_weights_of_low_rank_leave_a_loss_of_nothing() -> None:
    layers = [Weighed(Found(Layer(name, 64, 48)), np.ones((64, 48))) for name in "ab"]
    drawn = front_picture(whole.explore(layers, SEARCH, Share()))
    assert drawn.panels[4].y.scale is Scale.LINEAR
    assert draw.drawn(drawn, PictureFormat.SVG)


@pytest.mark.slow
def test_thousands_of_points_make_a_small_file() -> None:
    layer = Layer("fc", 256, 256)
    found = explored(layer, search=Search(1, 32, epsilon=1e-3))
    front = found.taken[0]
    times = 5000 // len(front) + 1
    many = replace(
        front,
        **{name: getattr(front, name) * times for name in ("specs", "costs", "losses", "errors")},
    )
    drawn = front_picture(replace(found, layers=((Found(layer), many),)))
    assert len(drawn.panels) == 2
    assert len(draw.drawn(drawn, PictureFormat.SVG)) < 500_000
    assert len(json.dumps(plotted(draw.drawn(drawn, PictureFormat.HTML).decode()))) < 2_500_000


def test_what_is_grey_or_black_has_another_colour_on_a_dark_page(two: Whole) -> None:
    figures = [*draw_page.figures(front_picture(two))]
    script = (page.TEMPLATES / "page.js").read_text()
    whiskers = {trace["error_y"]["color"] for figure in figures for trace in figure["data"] if trace.get("error_y")}
    assert len(whiskers) == 1
    for colour in (*whiskers, Hue.GREY.value, Hue.BLACK.value):
        assert f'"{colour}": colour(' in script
