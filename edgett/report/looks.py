"""How each form looks in a picture: a hue and a mark of its own, the same wherever it is drawn."""

from __future__ import annotations

from collections.abc import Sequence

from edgett.forms import catalogue
from edgett.forms.spec import Spec
from edgett.report.picture import Hue, Mark, Points

HUES = (Hue.SKY, Hue.ORANGE, Hue.PURPLE, Hue.GREEN, Hue.BLACK, Hue.VERMILION)
"""Blue is for what is chosen, grey for lines."""
MARKS = (Mark.DOT, Mark.SQUARE, Mark.DIAMOND, Mark.TRIANGLE, Mark.CROSS, Mark.ARROW, Mark.PLUS)
"""One more: forms of one hue have different marks, and none looks like another before there are 43 of them."""

LARGE, SMALL = 4.5, 3.0
"""How large points are, which have to be told apart; where there are many they are smaller."""
MANY = 200


def by_form(points: Points, specs: Sequence[Spec]) -> list[Points]:
    """Split a series up into one a form.

    Args:
        points: those of all forms; name, look and size are to be given by the form.
        specs: what each of them stands for.

    Returns:
        Series by the names of the forms, those of few points last, on top.
    """
    size = SMALL if len(specs) > MANY else LARGE
    titles = dict.fromkeys(form.spec.title for form in catalogue.FORMS)
    found = []
    for place, title in enumerate(titles):
        rows = [row for row, spec in enumerate(specs) if spec.title == title]
        x, y = (tuple(each[row] for row in rows) for each in (points.x, points.y))
        labels = tuple(points.labels[row] for row in rows if points.labels)
        mark, hue = MARKS[place % len(MARKS)], HUES[place % len(HUES)]
        found += [Points(title, x, y, mark, hue, labels, size=size)] if rows else []
    return sorted(found, key=lambda each: -len(each.x))
