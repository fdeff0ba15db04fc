"""Which layer an operator of an exported file belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

UNKNOWN = "?"


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
        scopes = [part.split("/", 1)[0] for name in names for part in name.split(";")]
        known = [scope for scope in scopes if scope in self.paths]
        return next((scope for scope in known if self.paths[scope] in self.counted), known[0] if known else UNKNOWN)

    def layer(self, names: Iterable[str]) -> str:
        """The layer behind the names."""
        scope = self.scope(names)
        return self.paths.get(scope, UNKNOWN)
