"""A model without the channels that contribute nothing: what it puts out stays as it was."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from edgett.model.layers import substituted
from edgett.model.slim import rules
from edgett.model.slim.flow import Flow
from edgett.model.trace import trace


@dataclass(frozen=True)
class Slimmed:
    """A model, and what it was rid of.

    Attributes:
        model: the smaller model; the very one that was given where nothing could go.
        removed: how many channels each layer with weights puts out no more, by path.
        folded: how many channels were constants other than zero, which went into biases: outputs are equal to rounding
            where there are any, and to the last bit where there are none.
    """

    model: keras.Model
    removed: Mapping[str, int]
    folded: int


def slimmed(model: keras.Model) -> Slimmed:
    """Remove every channel that contributes nothing, with all that reads it.

    A channel goes where all that read it multiply it with zeros, or where it is the same number for every input: zero,
    as behind a ReLU that it never passes, or another that what reads it can take into its bias. Constants that a border
    of zeros would tell apart stay.

    Args:
        model: a Sequential or functional model; it stays as it is.

    Returns:
        The smaller model, and what it was rid of.

    Raises:
        ModelError: for a model that is neither Sequential nor functional, or that cannot be copied.
    """
    flow = Flow(trace(model))
    return without(model, flow, flow.needed())


def without(model: keras.Model, flow: Flow, needed: Collection[int]) -> Slimmed:
    """Remove the channels of all strands but the needed ones, with all that reads them.

    Args:
        model: a Sequential or functional model; it stays as it is.
        flow: its channels.
        needed: the strands that stay; of each tensor at least one.

    Returns:
        The smaller model, and what it was rid of.
    """
    cuts = {call.path: (call, flow.cut(call, needed)) for call in flow.first_calls()}
    twins: dict[int, Any] = {}
    removed: dict[str, int] = {}
    folded = 0
    for path, (call, cut) in cuts.items():
        gone = call.writes[0].shape[-1] - len(cut.writes)
        if not gone and len(cut.reads) == call.reads[0].shape[-1]:
            continue
        twin = flow.rules[id(call)].cut(call.layer, cut)
        if twin is not None:
            twins[id(call.layer)] = twin
            folded += int(np.count_nonzero(cut.constants)) if isinstance(flow.rules[id(call)], rules.Mixed) else 0
        if gone and isinstance(flow.rules[id(call)], rules.Weighted):
            removed[path] = gone
    return Slimmed(substituted(model, twins) if twins else model, removed, folded)
