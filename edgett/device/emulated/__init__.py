"""What an emulated device is given: the programs that run there, in C and Python, and what builds and starts them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARK = 0x45444754
"""A program of Linux asks for the priority of this kind to say where counting begins and ends."""
WARMUP = 12
"""Inferences in Python before those that are reported."""


def save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Arrays by name to a .npz, whatever the names are."""
    np.savez(path, *arrays.values(), names=np.array(list(arrays)))


def load(path: Path) -> dict[str, NDArray[Any]]:
    """What `save` wrote."""
    with np.load(path) as held:
        return {str(name): held[f"arr_{index}"] for index, name in enumerate(held["names"])}
