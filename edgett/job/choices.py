"""How a job has its candidates trained, and what a device holds of their weights."""

from __future__ import annotations

import enum


class Schedule(enum.Enum):
    """`full` trains every candidate for all epochs, as the paper does; `halving` only those that may be picked.

    `auto` is halving where convolutions are put into forms, whose epochs take long.
    """

    AUTO = "auto"
    FULL = "full"
    HALVING = "halving"


class Trunk(enum.Enum):
    """What becomes of the part of a network before the first replaced layer: `frozen`, it runs only once."""

    AUTO = "auto"
    FROZEN = "frozen"
    TRAINED = "trained"


class Prune(enum.Enum):
    """What goes of a model before its weights are put into forms: of `channels` those that matter least, or nothing."""

    NOTHING = "nothing"
    CHANNELS = "channels"


class Recover(enum.Enum):
    """How accuracy comes back: `plain` learns from labels; `distill` fits each layer, then learns from the baseline.

    `admm` is `distill` for half of the epochs, after the others have pulled the dense model towards the forms.
    `adversarial` is `distill` on attacked samples.
    """

    PLAIN = "plain"
    DISTILL = "distill"
    ADMM = "admm"
    ADVERSARIAL = "adversarial"


class Hold(enum.Enum):
    """What a device holds of a layer in a form: `weights` computes with its factors, one after the other.

    `factors` stores them as int8 and multiplies them out to the weight of the dense layer, in RAM, before that runs.
    """

    WEIGHTS = "weights"
    FACTORS = "factors"
