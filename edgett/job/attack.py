"""What `--attack` moves the inputs of models by, to see how much of their accuracy is left."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgett.errors import UsageError

EPSILON, STEPS = 0.1, 7
"""What is taken where nothing is said: a tenth of an input's range, in the steps that Madry et al. (2018) train by."""

MOST_STEPS = 1000

JUDGED = 1000
"""Samples of a split that are attacked to judge a model: an attack takes as long as some training."""

ON = f"on at most {JUDGED:,} samples, spread evenly"

REACH = 2.5
"""How far all steps of PGD would go together, in epsilons: from any place in the ball to any other (Madry et al.)."""


class Attacker(enum.Enum):
    """How inputs are moved: by one step along the sign of the gradient, or by several, held within epsilon."""

    FGSM = "fgsm"
    PGD = "pgd"


@dataclass(frozen=True)
class Attack:
    """How far and how inputs are moved to where a model's loss is larger; checks itself.

    Attributes:
        by: FGSM, the fast gradient sign method (Goodfellow et al. 2015), or PGD, projected gradient descent (Madry et
            al. 2018), begun at the sample itself.
        epsilon: the most that each number of a sample is moved, as a share of its input's range: from the smallest to
            the largest number that the training data have there.
        steps: of PGD.
    """

    by: Attacker = Attacker.PGD
    epsilon: float = EPSILON
    steps: int = STEPS

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= 1:
            raise UsageError(
                f"--epsilon {self.epsilon:g} is not above 0 and at most 1.",
                "It is a share of the inputs' range: 0.1 is usual for digits, 0.03 for photographs.",
            )
        if not 1 <= self.steps <= MOST_STEPS:
            raise UsageError(
                f"--attack-steps {self.steps} is not from 1 to {MOST_STEPS:,}.", f"{STEPS} are usual, 40 are thorough."
            )

    @property
    def strides(self) -> tuple[float, ...]:
        """How far each step goes, as a share of the range."""
        if self.by is Attacker.FGSM:
            return (self.epsilon,)
        return (REACH * self.epsilon / self.steps,) * self.steps

    def __str__(self) -> str:
        steps = "" if self.by is Attacker.FGSM else f", {self.steps} step{'s' if self.steps > 1 else ''}"
        return f"{self.by.value.upper()}, epsilon {self.epsilon:g} of the inputs' range{steps}"


def asked_attack(by: Attacker | None, epsilon: float | None, steps: int | None) -> Attack:
    """The attack of these options, None where one is not given. Raises UsageError for what is out of range."""
    if steps is not None and by is Attacker.FGSM:
        raise UsageError(
            f"--attack-steps {steps} means nothing to --attack fgsm, which takes one.",
            "Leave it out, or give --attack pgd.",
        )
    attack = Attack(by or Attacker.PGD)
    return Attack(attack.by, attack.epsilon if epsilon is None else epsilon, attack.steps if steps is None else steps)
