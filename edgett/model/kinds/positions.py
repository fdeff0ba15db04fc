"""`Dense` on more axes than (batch, features): in a transformer, behind a Conv1D, at every pixel of an image."""

from __future__ import annotations

import math

from edgett.forms.site import Layer
from edgett.model.kinds.dense import DenseKind, site_of, unfit
from edgett.model.trace import Call


class DenseOnPositions(DenseKind):
    """Each position of a sample is a row of its own: (batch, ..., features) is as good as (batch * ..., features)."""

    def sites(self, call: Call) -> tuple[Layer, ...] | str:
        if reason := unfit(call.layer):
            return reason
        between = call.reads[0].shape[1:-1] if call.reads else ()
        if None in between:
            return "how many positions of a sample it reads is not known: give the model's input a shape"
        return (site_of(call, math.prod(between)),)
