"""What an artefact takes and gives on a device: numbers of a C type, quantised or not, and their names in C."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long "
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile "
    "while "
    # C++'s, since a header may be included there
    "alignas alignof and asm bool catch class concept const_cast constexpr decltype delete dynamic_cast "
    "explicit export false friend mutable namespace new noexcept not nullptr operator or private protected "
    "public reinterpret_cast requires static_assert static_cast template this throw true try typeid typename "
    "using virtual wchar_t xor".split()
)
_C_TYPES = {
    "float32": "float",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "bool": "bool",
}


@dataclass(frozen=True)
class Port:
    """An input or an output: `identifier` names it in C, `dtype` is NumPy's name of its numbers' type.

    A number q stands for scale * (q - zero_point); a scale of None says that numbers stand for themselves.
    """

    name: str
    identifier: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int = 0

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """What they take."""
        return self.size * np.dtype(self.dtype).itemsize

    @property
    def c_type(self) -> str:
        """The type of a number in C."""
        return _C_TYPES[self.dtype]

    def stored(self, values: NDArray[Any]) -> NDArray[Any]:
        """Real numbers as the device takes them, rounded and clipped where they are quantised."""
        if self.scale is None:
            return values.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        return np.clip(np.rint(values / self.scale) + self.zero_point, limits.min, limits.max).astype(self.dtype)


def identifiers(names: Sequence[str]) -> tuple[str, ...]:
    """A C identifier for each name, all different; whatever C does not allow becomes an underscore."""
    taken: list[str] = []
    for name in names:
        plain = re.sub(r"[^0-9A-Za-z_]", "_", name).strip("_") or "tensor"
        plain = f"n{plain}" if plain[0].isdigit() else plain
        plain = f"{plain}_" if plain in _KEYWORDS else plain
        made, number = plain, 2
        while made in taken:
            made, number = f"{plain}_{number}", number + 1
        taken.append(made)
    return tuple(taken)


def is_identifier(name: str) -> bool:
    """Whether C and C++ take the name as it is; names that begin with an underscore are theirs."""
    return re.fullmatch(r"[A-Za-z][0-9A-Za-z_]*", name) is not None and name not in _KEYWORDS
