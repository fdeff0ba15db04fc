"""Which layer an operator of an exported file belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

UNKNOWN = "?"
ACTIVATION = "/_activation/"
"""The scope, inside that of its layer, that `model.servable` gives to what an activation is spelled out in."""


@dataclass(frozen=True)
class Owners:
    """Reads the scope off the names that a converter leaves on operators and tensors.

    `paths` maps a scope to its layer, `counted` holds the layers that compute: a fused operator belongs to the one that
    does. `producers` maps each output of the model to the scope that makes it, since outputs lose their names.
    """

    paths: Mapping[str, str]
    counted: frozenset[str]
    producers: Mapping[str, str]

    def scope(self, names: Iterable[str]) -> str:
        """The scope behind the first name that tells one; "?" when none does."""
        known = [_scope(part) for part in self._parts(names)]
        return next((scope for scope in known if self.paths[scope] in self.counted), known[0] if known else UNKNOWN)

    def layer(self, names: Iterable[str]) -> str:
        """The layer behind the names."""
        scope = self.scope(names)
        return self.paths.get(scope, UNKNOWN)

    def activates(self, names: Iterable[str]) -> bool:
        """Whether the operator does nothing but a part of an activation, which counts as no work."""
        parts = self._parts(names)
        return bool(parts) and all(ACTIVATION in part for part in parts)

    def _parts(self, names: Iterable[str]) -> list[str]:
        """The names that tell a scope: a fused operator has one for each that went into it.

        An output may be called as some layer is: who makes it tells, not its name.
        """
        told = (self.producers.get(name, name) for name in names)
        return [part for name in told for part in name.split(";") if _scope(part) in self.paths]


def _scope(name: str) -> str:
    return name.split("/", 1)[0]
