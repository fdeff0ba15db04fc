"""Pulling the dense model towards what the forms can hold, before it is decomposed: `--recover admm`."""

from __future__ import annotations

from edgett.train.methods.distill import Distill


class Admm(Distill):
    """The dense model trains towards the forms first (see `train.pulled`), what is decomposed then by distillation."""

    before = 0.5
