"""The forms in which weights may be held, and what documents say of them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic_core import core_schema

from edgett.forms.convolution.channel_svd import ChannelSVD
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.form import Chained
from edgett.forms.convolution.pointwise_svd import PointwiseSVD
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.convolution.tt_conv import TTConv
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.form import Form
from edgett.forms.front import Front, Search, Space, joined, nothing
from edgett.forms.moments import Moments
from edgett.forms.site import Layer
from edgett.forms.spec import Matrix, Spec
from edgett.forms.svd import SingularValues
from edgett.forms.tt import TensorTrain

FORMS: tuple[Form, ...] = (
    TensorTrain(),
    SingularValues(),
    *(Chained(kind) for kind in (PointwiseSVD, SpatialSVD, CP, ChannelSVD, Tucker2, TTConv)),
)

MOST_PARTS = 65
"""What a field of a spec may list, in documents: a tensor train of numbers below 2^63 has no more ranks."""


class _Documented:
    """Journals and records hold a spec as documents do."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return core_schema.no_info_plain_validator_function(
            lambda given: given if isinstance(given, Spec) else read(given),
            serialization=core_schema.plain_serializer_function_ser_schema(document),
        )


Held = Annotated[Spec, _Documented()]
"""A spec, for values that are written down."""


def unfit(layer: Layer) -> str | None:
    """Why no form fits a layer.

    Args:
        layer: the layer.

    Returns:
        The reason of the first form, in the user's words; None where one fits.
    """
    reasons = {form: form.unfit(layer) for form in FORMS}
    if None in reasons.values():
        return None
    # The forms for the other kind of layers have nothing to say but that.
    told = [form for form in FORMS if isinstance(form, Chained) == (layer.window is not None)]
    return reasons[(told or FORMS)[0]]


def units(layer: Layer) -> int:
    """The units of work that `front` reports for a layer."""
    return sum(form.units(layer) for form in FORMS if form.unfit(layer) is None)


def front(
    layer: Layer,
    weight: Matrix,
    search: Search,
    advance: Callable[[int], None] = lambda units: None,
    seen: Moments | None = None,
) -> Front:
    """Search the spaces of all forms of a layer for the solutions that nothing beats in parameters, FLOPs and error.

    Args:
        layer: the layer.
        weight: its trained weight (X, Y).
        search: which ranks there may be, and bounds.
        advance: is called with the units of work just done, of `units(layer)` in all.
        seen: moments of what the layer is given, which forms may be fitted to; None: there are none.

    Returns:
        The Pareto set of all forms together; where it is empty, the reason.

    Raises:
        ModelError: for a weight that is not finite.
    """
    fit = [form for form in FORMS if form.unfit(layer) is None]
    if not fit:
        return Front(layer, 0, reason=unfit(layer))
    return joined(layer, [form.front(layer, weight, search, advance, seen) for form in fit], search)


def space(layer: Layer, search: Search) -> Space:
    """List what a convolution may be held as of which no weight is known.

    Args:
        layer: the convolution.
        search: which ranks there may be, and bounds.

    Returns:
        The solutions of all forms, one form after the other; where there is none, the reason.
    """
    if reason := unfit(layer):
        return Space(layer, 0, reason=reason)
    spaces = [form.space(layer, search) for form in FORMS if isinstance(form, Chained) and form.unfit(layer) is None]
    solutions = sum(each.solutions for each in spaces)
    if not any(map(len, spaces)):
        return Space(layer, solutions, reason=nothing(layer, solutions, search).reason)
    specs = tuple(spec for each in spaces for spec in each.specs)
    costs = tuple(cost for each in spaces for cost in each.costs)
    return Space(layer, solutions, specs, costs)


def document(spec: Spec) -> dict[str, Any]:
    """Say in a document's words what a spec is.

    Args:
        spec: one of a form in `FORMS`.

    Returns:
        The name of its form under "form", and its fields: numbers, words, lists of numbers.
    """
    return {"form": spec.form} | _plain(spec)


def read(given: Mapping[str, Any]) -> Spec:
    """Read the spec that a document tells of: what `document` has made, perhaps by somebody else.

    Args:
        given: the name of a form under "form", and the fields of its specs.

    Returns:
        The spec.

    Raises:
        ValueError: for a form that there is not, and for what is no spec of it.
    """
    kinds = {form.spec.form: form.spec for form in FORMS}
    name = given.get("form") if isinstance(given, Mapping) else given
    if not isinstance(name, str) or name not in kinds or not isinstance(given, Mapping):
        raise ValueError(f"there is no form {str(name)[:40]!r}, but {', '.join(kinds)}")
    kind = kinds[name]
    try:
        return _made({name: each for name, each in given.items() if name != "form"}, kind)
    except OverflowError as error:
        raise ValueError(f"no sizes of form {kind.form}") from error


def _made(given: Any, kind: Any) -> Any:
    """A frozen value with fields, of those that a document tells. Raises ValueError where these are others."""
    hints, names = get_type_hints(kind), [each.name for each in fields(kind)]
    if not isinstance(given, Mapping) or {*given} != {*names}:
        told = ", ".join(sorted(map(str, given))) if isinstance(given, Mapping) else repr(given)
        raise ValueError(f"a form's {kind.__name__} has {', '.join(names)}, and not {told[:200]}")
    return kind(**{name: _typed(given[name], hints[name]) for name in names})


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        return [*map(_plain, value)]
    return value.value if isinstance(value, enum.Enum) else value


def _typed(value: Any, kind: Any) -> Any:
    """A value of a document as a field of that type has it. Raises ValueError for one of another type or size."""
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        most, exact = (MOST_PARTS, False) if kinds[-1] is Ellipsis else (len(kinds), True)
        if not isinstance(value, list) or len(value) > most or (exact and len(value) < most):
            raise ValueError(f"no list of {'' if exact else 'at most '}{most} is {str(value)[:200]}")
        return tuple(_typed(one, kinds[0]) for one in value)
    if is_dataclass(kind):
        return _made(value, kind)
    if issubclass(kind, enum.Enum):
        return kind(value)
    if type(value) is not kind or (kind is int and not 0 <= value < 2**63):
        raise ValueError(f"no {kind.__name__} of a spec is {value!r}")
    return value
