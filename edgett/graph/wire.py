"""What an artefact takes and gives on a device: numbers of a C type, quantised or not, and their names in C."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.errors import ModelError

_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long "
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile "
    "while "
    # C++'s, since a header may be included there; GNU's; and macros of Unix
    "alignas alignof and asm bool catch class concept const_cast constexpr decltype delete dynamic_cast "
    "explicit export false friend mutable namespace new noexcept not nullptr operator or private protected "
    "public reinterpret_cast requires static_assert static_cast template this throw true try typeid typename "
    "using virtual wchar_t xor and_eq bitand bitor compl not_eq or_eq xor_eq char8_t char16_t char32_t "
    "thread_local typeof typeof_unqual co_await co_return co_yield consteval constinit unix linux".split()
)
_HEADERS = frozenset(
    "assert complex ctype errno fenv float inttypes iso646 limits locale math memory new setjmp signal stdalign stdarg "
    "stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath thread threads time uchar unistd wchar "
    "wctype".split()
)
"""Names of headers: a model's own must not stand before them."""
_MACROS = re.compile(r"U?INT\w*_(MIN|MAX|C)|(FLT|DBL|LDBL|FP|M)_\w+|HUGE_VAL[FL]?|INFINITY|NAN|NULL|EOF|\w+_t")
_LONGEST = 40
"""Letters of an identifier: C99 tells 63 apart, of which a macro with the model's name and an ending has some more."""
_C_TYPES = {
    "float32": "float",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int32": "int32_t",
    "int64": "int64_t",
}


@dataclass(frozen=True)
class WirePort:
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

    def real(self, values: NDArray[Any]) -> NDArray[Any]:
        """What the device's numbers stand for."""
        if self.scale is None:
            return values
        return (values.astype(np.float32) - self.zero_point) * np.float32(self.scale)

    def macros(self, prefix: str) -> list[str]:
        """Lines of a header that tell of it, each macro beginning with `prefix`."""
        lines = [
            f"#define {prefix}_SIZE {self.size}",
            f"#define {prefix}_BYTES {self.bytes}",
            f"#define {prefix}_RANK {len(self.shape)}",
            f"#define {prefix}_SHAPE {{{', '.join(map(str, self.shape))}}}",
        ]
        if self.scale is not None:
            lines += [
                "/* A number q stands for SCALE * (q - ZERO_POINT). */",
                f"#define {prefix}_SCALE {self.scale!r}f",
                f"#define {prefix}_ZERO_POINT ({self.zero_point})",
            ]
        return lines


def litert_port(detail: Mapping[str, Any]) -> WirePort:
    """A tensor as LiteRT's interpreter describes it; nobody names it in C."""
    scale, zero = detail["quantization"]
    shape = tuple(int(size) for size in detail["shape"])
    return WirePort(detail["name"], "", shape, np.dtype(detail["dtype"]).name, float(scale) or None, int(zero))


def identifiers(names: Sequence[str], own: str = "") -> tuple[str, ...]:
    """A C identifier for each name, all different; whatever C does not allow becomes an underscore.

    None begins as the symbols of the model `own` do, which it would stand before, and none is longer than compilers
    have to tell apart.
    """
    taken: list[str] = []
    for name in names:
        plain = re.sub(r"[^0-9A-Za-z_]", "_", name).strip("_")[:_LONGEST].strip("_") or "tensor"
        plain = f"n{plain}" if plain[0].isdigit() or (own and plain.startswith(f"{own}_")) else plain
        plain = f"{plain}_" if plain in _KEYWORDS | _HEADERS or _MACROS.fullmatch(plain) else plain
        made, number = plain, 2
        while made in taken:
            made, number = f"{plain}_{number}", number + 1
        taken.append(made)
    return tuple(taken)


def is_identifier(name: str) -> bool:
    """Whether C and C++ take the name for a model; names that begin with an underscore, and of headers, are theirs."""
    return re.fullmatch(r"[A-Za-z][0-9A-Za-z_]*", name) is not None and name not in _KEYWORDS | _HEADERS


def refuse_unknown(ports: Sequence[WirePort]) -> None:
    """Raise ModelError for numbers of a type that a model in C neither takes nor gives."""
    for port in ports:
        if port.dtype not in _C_TYPES:
            raise ModelError(
                f"{port.name!r} is {port.dtype}: a model in C takes and gives {', '.join(_C_TYPES)}.",
                "Cast it inside the model.",
            )
