"""`Dense` on (batch, features)."""

from __future__ import annotations

from edgett.nn.kinds.dense import DenseKind, site_of, unfit
from edgett.nn.trace import Call
from edgett.values import Layer


class DenseOnRows(DenseKind):
    """A sample is one row."""

    def sites(self, call: Call) -> tuple[Layer, ...] | str:
        if reason := unfit(call.layer):
            return reason
        if call.reads and len(call.reads[0].shape) != 2:
            return f"its input has {len(call.reads[0].shape)} axes, not (batch, features)"
        return (site_of(call),)
