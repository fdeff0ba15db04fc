"""The files of the picks: written, held to the budgets, and rid of replaced layers that int8 or time speaks against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgett.errors import ToolError
from edgett.forms.spec import Spec
from edgett.run.directory import Run
from edgett.search.choose import DENSE, choose, feasible, holdings
from edgett.search.constraints import LOSSES
from edgett.search.solution import LearntInt8, Picks, Reverted, Trial
from edgett.workflow.files import SUFFIXES, Style, write
from edgett.workflow.inputs import Inputs
from edgett.workflow.readback import as_written
from edgett.workflow.reverting import back, costed, without, worst
from edgett.workflow.terms import Terms, told_by
from edgett.workflow.timing import Clock, Lineup
from edgett.workflow.tutor import Tutor


@dataclass(frozen=True)
class Made:
    """A trial as its files are written: its model, their style, and those that there are yet."""

    trial: Trial
    model: Any
    style: Style
    files: tuple[Path, ...] = ()

    def file(self, suffix: str) -> Path:
        """The file of that format."""
        return next(path for path in self.files if path.suffix == suffix)

    def form(self, layer: str) -> tuple[str, Spec, bool]:
        """A replaced layer as it is: its name, its spec, and whether it is in float32 in an int8 file."""
        return layer, self.trial.solution.edits[layer], layer in self.style.floats


def as_file(made: Made, file: Path, inputs: Inputs, terms: Terms) -> Trial:
    """The trial with what its file for the target takes, not what was predicted, and what int8 makes of it."""
    solution = as_written(made.trial.solution, made.model, file, made.style, terms.costing)
    trial = replace(made.trial, solution=solution)
    if not terms.int8:
        return trial
    quality = told_by(file, made.model, inputs, terms.batch)
    drop, robust = quality.drop_from(inputs.quality), quality.robust_drop_from(inputs.quality)
    return replace(trial, quality=quality, drop=drop, robust_drop=robust)


def completed(made: Made, stem: Path, suffixes: Sequence[str]) -> Made:
    """With the files of all other formats that there are, beside `stem`."""
    rest = [suffix for suffix in suffixes if suffix not in {path.suffix for path in made.files}]
    files = (*made.files, *write(made.model, made.style, stem, rest))
    return replace(made, files=tuple(sorted(files, key=lambda path: SUFFIXES.index(path.suffix))))


@dataclass(frozen=True)
class Help:
    """Who helps: without a clock no layer goes back for being slow, without a tutor no model learns."""

    clock: Clock | None = None
    tutor: Tutor | None = None


class Exports:
    """What is written on the way to the picks, by the solution's number, and the trials that came to something else."""

    def __init__(self, inputs: Inputs, terms: Terms, dense: Made, run: Run, help: Help) -> None:
        """Files lie beside those of the `dense` model."""
        self._inputs, self._terms, self._run = inputs, terms, run
        self._clock, self._tutor = help.clock, help.tutor
        self._folder, self._slow = dense.files[0].parent, dict[tuple[str, Spec, bool], float]()
        self.made = {DENSE: dense}
        self.other: dict[int, Trial] = {}

    def picked(self, trials: Sequence[Trial], advance: Callable[[int], None]) -> Picks | None:
        """The picks whose files hold the constraints too, as they measure; no layer of the recommended one is slow.

        The dense model is one of them.
        """
        advance(1)
        able = {trial.solution.number: trial for trial in trials if trial.complete}
        while (picks := choose(tuple(able.values()), self._terms.limits, self.made[DENSE].trial)) is not None:
            fresh = {trial.solution.number: trial for trial in picks.named().values()}
            fresh = {number: trial for number, trial in fresh.items() if number not in self.made}
            made = [
                self._recovered(self._costed(trial, self._rebuilt(trial), self.made[DENSE].style))
                for trial in fresh.values()
            ]
            if not fresh:
                best = self.made[picks.recommended.solution.number]
                if not (slow := self._slow_of(best)):
                    break
                made = [self._quickened(best, slow)]
            for one in made:
                number = one.trial.solution.number
                before, able[number], self.made[number] = able[number], one.trial, one
                told = one.trial
                other = told.reverted or told.int8 or told.solution.cost != before.solution.cost
                if other or not feasible(one.trial, self._terms.limits):
                    self.other[number] = one.trial
                advance(1)
        return picks

    def lineup(self, made: Made) -> Lineup:
        """What is timed of a trial: its file beside the dense one."""
        suffix, solution = self._terms.suffix, made.trial.solution
        return Lineup(solution.number, solution.edits, self.made[DENSE].file(suffix), made.file(suffix))

    def _rebuilt(self, trial: Trial) -> Any:
        from edgett.model.models import unpack_weights
        from edgett.train.finetune import compressed

        model = compressed(self._source(trial), trial.solution, self._inputs.judge)
        unpack_weights(model, self._run.weights(trial.solution.number))
        return model

    def _source(self, trial: Trial) -> Any:
        """The model whose layers are in forms, without the channels that went."""
        return self._inputs.source_of(trial.solution.gone)

    def _recovered(self, made: Made) -> Made:
        """With replaced layers gone back, the worst first, until int8 loses no more than it may; then all its files.

        One that would break another constraint stays as it is, and the next worst goes.
        """
        left = tuple(made.trial.solution.edits)
        made = self._learnt(made, self._measured(made, left))
        lost = {row.name for row in LOSSES}
        while left and self._terms.int8 and (broken := self._broken(made.trial)) and broken <= lost:
            layer, snr = self._worst(made, left)
            model, style = back(made.model, self._source(made.trial), layer, self._terms.refuge, made.style)
            left = tuple(name for name in left if name != layer)
            again = self._measured(self._costed(made.trial, model, style), left)
            if self._broken(again.trial) <= lost:
                step = Reverted(layer, self._terms.refuge, made.trial.drop, again.trial.drop, snr_db=snr)
                made = replace(again, trial=replace(again.trial, reverted=(*made.trial.reverted, step)))
        return self._complete(made)

    def _learnt(self, fine_tuned: Made, made: Made) -> Made:
        """Trained on with the numbers of int8 where these take much of a model, and that gives some of it back."""
        before, lost = fine_tuned.trial.drop, made.trial.drop
        if self._tutor is None or lost - before <= self._tutor.least:
            return made
        found = self._tutor.taught(made.trial, made.model)
        if found is None:
            return made
        try:
            again = self._measured(replace(made, model=found.model), tuple(made.trial.solution.edits), "learnt")
        except ToolError:  # scales that a runtime does not take: what was learnt from int8 noise alone
            return made
        kept, found_robust = made.trial.robust_drop, again.trial.robust_drop
        less_robust = kept is not None and found_robust is not None and found_robust > kept
        if again.trial.drop >= lost or less_robust:
            return made
        emulated = found.quality.drop_from(self._inputs.quality)
        told = LearntInt8(self._tutor.epochs, lost, emulated, again.trial.drop)
        return replace(again, trial=replace(again.trial, int8=told))

    def _slow_of(self, made: Made) -> Mapping[str, float]:
        """The replaced layers that time speaks against, and by how much; those first of which it is known."""
        layers = tuple(made.trial.solution.edits)
        if self._clock is None or not layers:
            return {}
        known = {layer: self._slow[made.form(layer)] for layer in layers if made.form(layer) in self._slow}
        if known or (pace := self._clock.pace(self.lineup(made), lambda: self._variants(made))) is None:
            return known
        self._slow |= {made.form(layer): slowdown for layer, slowdown in pace.slow.items()}
        return pace.slow

    def _variants(self, made: Made) -> Mapping[str, Path]:
        """The file with a dense layer in place of each replaced one; of a single one that is the dense model's."""
        suffix, layers = self._terms.suffix, tuple(made.trial.solution.edits)
        if len(layers) == 1 and not made.trial.solution.removed:
            return {layers[0]: self.made[DENSE].file(suffix)}
        paths = {}
        for index, layer in enumerate(layers):
            model, style = self._dense_again(made, [layer])
            stem = self._folder / f"{made.trial.solution.number}-{len(layers)}-without-{index}"
            (paths[layer],) = write(model, style, stem, (suffix,))
        return paths

    def _quickened(self, made: Made, slow: Mapping[str, float]) -> Made:
        """With slow layers dense again, whatever budget that breaks; then all its files."""
        before, left = made.trial, tuple(name for name in made.trial.solution.edits if name not in slow)
        again = self._measured(self._costed(before, *self._dense_again(made, slow)), left)
        drop = again.trial.drop
        steps = [Reverted(name, self._terms.slow_refuge, before.drop, drop, slowdown=x) for name, x in slow.items()]
        return self._complete(replace(again, trial=replace(again.trial, reverted=(*before.reverted, *steps))))

    def _dense_again(self, made: Made, layers: Sequence[str] | Mapping[str, float]) -> tuple[Any, Style]:
        model = without(made.model, self._source(made.trial), layers)
        return model, replace(made.style, floats=made.style.floats - set(layers))

    def _costed(self, trial: Trial, model: Any, style: Style) -> Made:
        return Made(costed(trial, model, style, self._terms.costing), model, style)

    def _complete(self, made: Made) -> Made:
        """With the files of the other formats, if it may be picked."""
        holds = feasible(made.trial, self._terms.limits)
        return completed(made, made.files[0].with_suffix(""), self._terms.original.suffixes) if holds else made

    def _broken(self, trial: Trial) -> set[str]:
        return {item.name for item in holdings(trial.solution, trial.lost, self._terms.limits) if item.holds is False}

    def _measured(self, made: Made, left: Sequence[str], how: str = "") -> Made:
        """The trial as its file for the target measures."""
        stem = self._folder / f"{made.trial.solution.number}-{len(left)}{how}"
        (path,) = write(made.model, made.style, stem, (self._terms.suffix,))
        return replace(made, trial=as_file(made, path, self._inputs, self._terms), files=(path,))

    def _worst(self, made: Made, left: Sequence[str]) -> tuple[str, float]:
        return worst(made.model, made.files[0], self._inputs.data.validation.x, left, made.style.batch)
