"""Where the layers of a solution start from, before they are fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from edgett.forms.spec import Spec
from edgett.forms.start import Start
from edgett.model.layers import kernels
from edgett.search.solution import Solution
from edgett.train.data import Split
from edgett.train.following import Following
from edgett.train.methods.method import Method
from edgett.train.quality import Judge
from edgett.train.screening import Tryout, screened

MOST = 1 << 28
"""Bytes that starts may take which may be asked for again."""


class Beginnings:
    """Finds where the solutions of one model start from."""

    def __init__(
        self, method: Method, validation: Split, judge: Judge, known: Mapping[tuple[str, Spec], Start]
    ) -> None:
        """Take what all solutions have in common.

        Args:
            method: how layers are trained, of the dense model.
            validation: what is measured on.
            judge: what measures.
            known: by path and spec where layers start from that were fitted each for itself.
        """
        self._method, self._validation, self._judge, self._known = method, validation, judge, known
        self._found: dict[int, Mapping[str, Start]] = {}

    def of(self, solution: Solution) -> Mapping[str, Start]:
        """Find where the layers of a solution start from.

        Args:
            solution: which layers are in which forms.

        Returns:
            By path. Convolutions start from where each was fitted for itself, or one after the other to what they are
            given then: whichever measures better. A layer that is missing starts from its decomposed weight.
        """
        found = self._found.pop(solution.number, None) or self._of(solution)
        self._found[solution.number] = found
        while len(self._found) > 1 and sum(map(_bytes, self._found.values())) > MOST:
            del self._found[next(iter(self._found))]
        return found

    def _of(self, solution: Solution) -> Mapping[str, Start]:
        edits, model = solution.edits, self._method.model
        begun = {path: self._known[path, spec] for path, spec in edits.items() if (path, spec) in self._known}
        left = {path: spec for path, spec in edits.items() if path not in begun}
        begun |= {path: Start(factors) for path, factors in (self._method.factors(left) if left else {}).items()}
        if sum(spec.windowed for spec in edits.values()) < 2:
            return begun
        weights = kernels(model, edits.keys() - begun.keys())
        begun |= {path: Start(edits[path].best(weight)) for path, weight in weights.items()}
        return self._better(solution, begun, begun | self._following.starts(edits, begun))

    def _better(self, solution: Solution, *ways: Mapping[str, Start]) -> Mapping[str, Start]:
        tryout = Tryout(self._method.model, self._validation, self._judge, solution.edits)
        lost = [one.loss for one in screened(tryout, [(solution, way) for way in ways])]
        return ways[lost.index(min(lost))]

    @cached_property
    def _following(self) -> Following:
        return Following(self._method.model, self._method.samples.stream)


def _bytes(starts: Mapping[str, Start]) -> int:
    return sum(factor.nbytes for start in starts.values() for factor in start.factors)
