"""Training methods, by the names that `--recover` has for them."""

from __future__ import annotations

from collections.abc import Mapping

from edgett.nn.methods.distill import Distill
from edgett.nn.methods.method import Method
from edgett.values import Recover

METHODS: Mapping[Recover, type[Method]] = {Recover.PLAIN: Method, Recover.DISTILL: Distill}
