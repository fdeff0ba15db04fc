"""`Dense` on (batch, features)."""

from __future__ import annotations

from edgett.forms.site import Layer
from edgett.model.kinds.dense import DenseKind, site_of, unfit
from edgett.model.trace import Call


class DenseOnRows(DenseKind):
    """A sample is one row."""

    def sites(self, call: Call) -> tuple[Layer, ...] | str:
        if reason := unfit(call.layer):
            return reason
        if call.reads and len(call.reads[0].shape) != 2:
            return f"its input has {len(call.reads[0].shape)} axes, not (batch, features)"
        return (site_of(call),)
