"""The kinds of layers whose weights may be held in another form, a module each."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from edgett.forms.site import Layer
from edgett.model.kinds.convolution import Convolution
from edgett.model.kinds.kind import Kind
from edgett.model.kinds.positions import DenseOnPositions
from edgett.model.kinds.rows import DenseOnRows
from edgett.model.kinds.separable import Separable
from edgett.model.trace import Call
from edgett.search.choices import Strategy

FULLY_CONNECTED: tuple[Kind, ...] = (DenseOnRows(), DenseOnPositions())
"""What the paper's design space is for."""

KINDS: tuple[Kind, ...] = (
    *FULLY_CONNECTED,
    Convolution(keras.layers.Conv2D),
    Convolution(keras.layers.Conv1D),
    Separable(),
)
"""A kind for a class of layers that others are for, too, stands behind them: its reasons are told."""


def searched(strategy: Strategy) -> Sequence[Kind]:
    """The kinds whose spaces a way of searching knows: the paper's grid is for fully connected layers."""
    return FULLY_CONNECTED if strategy is Strategy.GRID else KINDS


def is_any(layer: object, of: Sequence[Kind] = KINDS) -> bool:
    """Whether a layer is of a class that one of these kinds is for."""
    return any(isinstance(layer, kind.keras) for kind in of)


def sites(call: Call) -> tuple[Layer, ...] | str:
    """The weights of a call that may be replaced, or why there are none. Raises ValueError for a layer of no kind."""
    answers = [kind.sites(call) for kind in KINDS if isinstance(call.layer, kind.keras)]
    if not answers:
        raise ValueError(f"{call.path!r} is of no kind")
    return next((answer for answer in answers if not isinstance(answer, str)), answers[-1])


def kind_of(call: Call) -> Kind | None:
    """The kind that the weights of a call are replaced by; None for a call that has none to replace."""
    return next(
        (kind for kind in KINDS if isinstance(call.layer, kind.keras) and not isinstance(kind.sites(call), str)), None
    )
