"""The Pareto sets of a whole space as a picture: what parameters and FLOPs buy in each layer, and in all together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgett.escape import one_line
from edgett.forms import cost
from edgett.forms.dominance import thinned_to
from edgett.forms.error import Bracket
from edgett.forms.front import ONE, Front
from edgett.forms.site import Cost, CostModel, Estimate, Layer
from edgett.forms.spec import Spec
from edgett.report.looks import by_form
from edgett.report.picture import Axis, Hue, Mark, Panel, Picture, Points, Rules, Scale
from edgett.report.space_plots import FLOPS, MARKS, PARAMS, Chosen
from edgett.report.words import PICKS, at, count, nearly
from edgett.search.whole import Whole

Ints = NDArray[np.int64]
Numbers = NDArray[np.float64]

Errors = Mapping[tuple[str, Spec], Bracket]
"""Of a layer's specs."""

ERROR = "estimated relative error"
LOSS = {
    Estimate.KEPT_ENERGY: "expected loss: -log(1 - cut), all bonds added",
    Estimate.LARGEST_CUT: "expected loss: -log(1 - cut), worst bonds added",
}
UNDOMINATED, OF_TWO, CANDIDATES = "undominated", "undominated in the two shown", "candidates to be costed"
DENSE = "dense"
WHISKERS = (
    "An upright line through a point of the stairs runs from the least error that its form can have"
    " to the most that its decomposition can make."
)

MOST_DOTS = 5000
"""Solutions drawn one by one in a panel; of a longer front, so many that stand for it."""


@dataclass(frozen=True, eq=False)
class _Plane:
    """Solutions by one cost and by what they lose; `dense` is that cost of the dense layer, where it is known."""

    cost: str
    costs: Ints
    losses: Numbers
    dense: int | None

    def of(self, costs: Cost) -> int:
        """What the plane goes by."""
        return costs.params if self.cost == PARAMS else costs.flops

    @property
    def stairs(self) -> Ints:
        """The rows that no other one is as good as in cost and loss, by ascending cost."""
        order = np.lexsort((self.losses, self.costs))
        best = np.minimum.accumulate(self.losses[order])
        lower = np.diff(best, prepend=np.inf) < 0
        return order[lower]

    def line(self) -> Points:
        """The best ones, joined."""
        dots = self.points(OF_TWO, self.stairs, Hue.GREY, {})
        return replace(dots, joined=True, stairs=True, size=0.0)

    def points(self, name: str, rows: Ints, hue: Hue, labels: Mapping[int, str]) -> Points:
        """Those rows as dots."""
        shown = tuple(labels[row] for row in rows.tolist()) if labels else ()
        return Points(name, tuple(self.costs[rows].tolist()), _drawn(self.losses[rows]), Mark.DOT, hue, shown, size=3.5)

    def panel(self, title: str, loss: str, scale: Scale, layers: Sequence[Points]) -> Panel:
        """The layers over a rule at the dense cost, on axes that hold all solutions."""
        known = () if self.dense is None else (self.dense,)
        ends = [end for series in layers for whisker in series.whiskers for end in whisker]
        return Panel(
            title,
            Axis.around(self.cost, np.append(self.costs, known), Scale.LOG),
            Axis.around(loss, np.append(self.losses, ends), scale),
            (Rules(DENSE, known, (), Hue.GREY, dashed=True), *layers),
        )


def front_picture(whole: Whole, chosen: Chosen | None = None, errors: Errors | None = None) -> Picture:
    """Two panels for each factorised layer, its parameters and its FLOPs against its error, then all together.

    What was `chosen` is marked at its `errors`, by the layer's name and the spec.
    """
    marked = {front.layer.name: list(_picks(front.layer, chosen or {}, errors or {})) for front in whole.taken}
    panels = [panel for front in whole.taken for panel in _layer(front, marked[front.layer.name])]
    if len(whole.taken) > 1:
        panels += _together(whole)
    search = whole.search
    ranks = f"ranks in multiples of {search.rank_multiple} up to {search.max_rank}"
    title = f"Pareto sets: {ranks}, {count(whole.solutions)} solutions"
    return Picture(title, tuple(panels), columns=2, remarks=tuple(_remarks(whole)) or ("no layer",))


def _picks(layer: Layer, chosen: Chosen, errors: Errors) -> Iterator[tuple[Cost, Points]]:
    """What each pick makes of a layer: its cost, and a point that is still to be placed across."""
    for name, mark, hue in MARKS:
        if (spec := chosen.get(name, {}).get(layer.name)) is not None:
            costs, error = cost.held(layer, spec), errors[layer.name, spec]
            label = f"{PICKS[name]}: {_label(spec, costs, error)}"
            yield costs, Points(f"pick: {PICKS[name]}", (0,), _drawn([error.estimate]), mark, hue, (label,), size=9)


def _layer(front: Front, marked: Sequence[tuple[Cost, Points]]) -> Iterator[Panel]:
    """Parameters and FLOPs of a layer's Pareto set against its error."""
    layer, dense = front.layer, cost.dense(front.layer)
    params, flops = np.array([(each.params, each.flops) for each in front.costs], np.int64).T
    errors = np.array([each.estimate for each in front.errors])
    dots, _ = thinned_to((params, flops, errors), MOST_DOTS)
    each = enumerate(zip(front.specs, front.costs, front.errors, strict=True))
    labels = {row: _label(spec, costs, error) for row, (spec, costs, error) in each}
    for plane in (
        _Plane(PARAMS, params, errors, dense.params),
        _Plane(FLOPS[CostModel.EXACT], flops, errors, dense.flops),
    ):
        stairs = plane.stairs
        rows = np.union1d(dots, stairs)
        title = f"{_named(layer)}: {_undominated(len(front), len(rows))} of {count(front.solutions)} solutions"
        low, high = (_drawn(getattr(front.errors[row], end) for row in stairs) for end in ("low", "high"))
        whiskers = tuple(zip(low, high, strict=True))
        best, every = replace(plane.line(), whiskers=whiskers), plane.points(UNDOMINATED, rows, Hue.GREY, labels)
        forms = by_form(every, [front.specs[row] for row in rows])
        placed = [replace(points, x=(plane.of(costs),)) for costs, points in marked]
        yield plane.panel(title, ERROR, Scale.LINEAR, (best, *forms, *placed))


def _together(whole: Whole) -> Iterator[Panel]:
    """Parameters and FLOPs of all factorised layers against the loss expected of them together."""
    joint = whole.joint
    losses = joint.loss / ONE
    dots, _ = thinned_to((joint.params, joint.flops, joint.loss), MOST_DOTS)
    labels = _candidates(whole)
    chosen = np.array(sorted(labels), np.int64)
    # A loss of nothing has no place on a logarithmic axis.
    scale = Scale.LOG if losses.min() > 0 else Scale.LINEAR
    shown = _undominated(len(joint), len(np.union1d(dots, chosen)))
    title = f"together: {shown}, {len(chosen):,} candidates"
    # How often each layer runs is not known here, and so not the FLOPs of the dense layers.
    dense = sum(cost.dense(front.layer).params for front in joint.fronts)
    for plane in (
        _Plane(PARAMS, joint.params, losses, dense),
        _Plane(FLOPS[CostModel.EXACT], joint.flops, losses, None),
    ):
        rest = plane.points(UNDOMINATED, np.setdiff1d(dots, chosen), Hue.PALE, {})
        few = plane.points(CANDIDATES, chosen, Hue.BLUE, labels)
        yield plane.panel(title, LOSS[whole.search.estimate], scale, (rest, few, plane.line()))


def _candidates(whole: Whole) -> dict[int, str]:
    """The rows of the joint set that are candidates, and what each one is."""
    joint, names = whole.joint, [front.layer.name for front in whole.joint.fronts]
    rows = {specs: row for row, specs in enumerate(joint.specs)}
    labels = {}
    for candidate in whole.candidates:
        specs = tuple(map(candidate.edits.get, names))
        row = rows[specs]
        lines = [f"{one_line(name, 28)}: {spec or DENSE}" for name, spec in zip(names, specs, strict=True)]
        lines.append(f"{joint.params[row]:,} parameters, {joint.flops[row]:,} FLOPs")
        labels[row] = "\n".join([*lines, f"expected loss {candidate.loss:.4g}"])
    return labels


def _undominated(count: int, drawn: int) -> str:
    """How many there are and, where not all are drawn, how many of them are."""
    return f"{count:,} undominated" + (f" ({drawn:,} drawn)" if drawn < count else "")


def _label(spec: Spec, costs: Cost, error: Bracket) -> str:
    return (
        f"{spec}\n{costs.params:,} parameters, {costs.flops:,} FLOPs\n"
        f"error {error.estimate:.3g}, between {error.low:.3g} and {error.high:.3g}"
    )


def _named(layer: Layer) -> str:
    size = layer.size
    many = at(layer.positions) if layer.window is None else ""
    return size if layer.name == size else f"{one_line(layer.name, 28)} ({size}{many})"


def _remarks(whole: Whole) -> Iterator[str]:
    """What the lines through the points are, what thinning gave away, and which layers are left alone."""
    if whole.taken:
        yield WHISKERS
    for front in whole.taken:
        if front.epsilon:
            yield f"{_named(front.layer)}: thinned, {nearly(front.epsilon)}"
    if len(whole.taken) > 1 and whole.epsilon:
        yield f"together: the candidates stand for all, {nearly(whole.epsilon)}"
    for found, _ in whole.layers:
        if found.excluded is not None:
            yield f"left alone: {_named(found.layer)}: {one_line(found.excluded)}"


def _drawn(values: Iterable[float]) -> tuple[float, ...]:
    """With as many digits as can be seen."""
    return tuple(float(f"{value:.6g}") for value in values)
