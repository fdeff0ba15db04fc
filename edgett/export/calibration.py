"""What int8 is calibrated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

Calibration = Sequence[Mapping[str, NDArray[Any]]]
"""Batches of inputs by name, each of the size that is exported: the ranges of every tensor are taken from them."""
