"""How a network is trained from its initial weights: dense, then in low-rank forms, at the end dense again if asked."""

from __future__ import annotations

import enum
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgett.errors import UsageError
from edgett.forms import catalogue
from edgett.forms.spec import Spec
from edgett.system import folders

FIFTH = 5
"""The part of the epochs that a network is dense first: weights that are chance still have no low rank to be found."""


class Phase(enum.Enum):
    """What trains."""

    DENSE = "dense"
    LOW_RANK = "low_rank"
    AGAIN = "dense_again"


@dataclass(frozen=True)
class Epochs:
    """For how many epochs a network trains, all told; how many of them dense first, and dense again at the end."""

    total: int
    dense: int
    again: int = 0

    @classmethod
    def of(cls, total: int, dense: int | None = None, again: int = 0) -> Epochs:
        """Take what the user says; None: a fifth of the epochs are dense first.

        Raises:
            UsageError: where no epoch is left for low rank.
        """
        first = -(-total // FIFTH) if dense is None else dense
        if first + again >= total:
            raise UsageError(
                f"of {total} epochs {first} dense and {again} dense again leave none for low rank.",
                "Give more --epochs, or fewer --dense-epochs and --back-to-dense.",
            )
        return cls(total, first, again)

    @property
    def phases(self) -> Mapping[Phase, range]:
        """The epochs of each, counted from 0; of those that have any."""
        cut, back = self.dense, self.total - self.again
        every = {Phase.DENSE: range(cut), Phase.LOW_RANK: range(cut, back), Phase.AGAIN: range(back, self.total)}
        return {phase: epochs for phase, epochs in every.items() if epochs}

    def phase_of(self, done: int) -> Phase:
        """What trains, or has trained last, when so many epochs are done."""
        return next(phase for phase, epochs in self.phases.items() if done <= epochs.stop)


@dataclass(frozen=True)
class Checkpoint:
    """How far a training has come.

    Attributes:
        done: epochs that are over.
        losses: the mean training loss of each.
        seconds: what each phase took, by its name, and the search.
        edits: by the path of a layer its form; empty before the search.
        state: everything that training has changed in the model of its phase.
    """

    done: int
    losses: tuple[float, ...]
    seconds: Mapping[str, float]
    edits: Mapping[str, Spec]
    state: bytes

    def save(self, path: Path, ground: str) -> None:
        """Write it, whole or not at all, with a digest of what it stands on. Raises ToolError."""
        about = {
            "ground": ground, "done": self.done, "losses": self.losses, "seconds": dict(self.seconds),
            "edits": {name: catalogue.document(spec) for name, spec in self.edits.items()},
        }  # fmt: skip
        content = io.BytesIO()
        np.savez(content, about=np.array(json.dumps(about)), state=np.frombuffer(self.state, np.uint8))
        folders.put(content.getvalue(), path, "checkpoint")

    @classmethod
    def load(cls, path: Path, ground: str) -> Checkpoint:
        """Read one of a training on the same ground. Raises UsageError for another, or for what is none."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                about, state = json.loads(str(stored["about"])), stored["state"].tobytes()
            edits = {name: catalogue.read(told) for name, told in about["edits"].items()}
            found = cls(about["done"], tuple(about["losses"]), about["seconds"], edits, state)
        except Exception as error:
            raise UsageError(f"{path} is no checkpoint: {error}.", "Leave --resume out, to train anew.") from error
        if about["ground"] != ground:
            raise UsageError(
                f"{path} is of a training of another model, other data or other options.",
                "Give them as they were, or leave --resume out, to train anew.",
            )
        return found


def beside(out: Path) -> Path:
    """Name the checkpoint of a training whose model is to be written to `out`."""
    return out.with_suffix(".training")


def described(edits: Mapping[str, Spec]) -> list[dict[str, Any]]:
    """Layers and their forms, as documents have them."""
    return [{"name": path, "form": str(spec), "params": spec.params} for path, spec in sorted(edits.items())]
