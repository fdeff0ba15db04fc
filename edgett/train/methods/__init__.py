"""Training methods, by the names that `--recover` has for them."""

from __future__ import annotations

from collections.abc import Mapping

from edgett.job.choices import Recover
from edgett.train.methods.admm import Admm
from edgett.train.methods.adversarial import Adversarial
from edgett.train.methods.distill import Distill
from edgett.train.methods.method import Method

METHODS: Mapping[Recover, type[Method]] = {
    Recover.PLAIN: Method,
    Recover.DISTILL: Distill,
    Recover.ADMM: Admm,
    Recover.ADVERSARIAL: Adversarial,
}
