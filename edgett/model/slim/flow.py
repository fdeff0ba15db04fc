"""The channels of all tensors of a model: what is known of each, and which stand and fall together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras
import numpy as np

from edgett.model.slim import rules
from edgett.model.slim.intervals import Intervals, unknown
from edgett.model.slim.rules import ChannelRule, Cut, Kept, Mask
from edgett.model.slim.strands import Ints, Strands
from edgett.model.trace import Call, Trace


class Flow:
    """The channels of all tensors of a model: what is known of each, and the strand that it belongs to."""

    def __init__(self, flow: Trace) -> None:
        """Follow the channels of a model that was traced."""
        self._flow, self._strands = flow, Strands()
        self._channels: dict[int, Ints] = {}
        self._bounds: dict[int, Intervals] = {}
        self.rules: dict[int, ChannelRule] = {}
        self._makers = {id(tensor): call for call in flow.calls for tensor in call.writes}
        for tensor in flow.inputs.values():
            made = self._strands.new(tensor.shape[-1] or 1)
            self._strands.pin(made)
            self._channels[id(tensor)], self._bounds[id(tensor)] = made, unknown(len(made))
        for call in flow.calls:
            self._follow(call)
        for tensor in flow.outputs.values():
            self._strands.pin(self._channels[id(tensor)])
        for call in flow.calls:
            self._tie_calls(call)
            self._pin_entries(call)

    def _follow(self, call: Call) -> None:
        """Take a call in: a layer with several outputs, or none that is read, is one that nobody knows."""
        plain = (
            len(call.writes) == 1 and call.reads and all(len(read.shape) > 1 for read in (*call.reads, *call.writes))
        )
        rule = rules.rule_of(call) if plain else rules.UNKNOWN
        self.rules[id(call)] = rule
        given = [self._channels[id(read)] for read in call.reads]
        for tensor in call.writes:
            if plain:
                made = rule.strands(call, given, self._strands)
                bounds = rule.bounds(call, [self._bounds[id(read)] for read in call.reads])
            else:
                for channels in given:
                    self._strands.pin(channels)
                made = self._strands.new(tensor.shape[-1] if tensor.shape else 1)
                self._strands.pin(made)
                bounds = unknown(len(made))
            self._channels[id(tensor)], self._bounds[id(tensor)] = made, bounds

    def _tie_calls(self, call: Call) -> None:
        """What a layer reads and writes in one call it does in all."""
        first = self._flow.calls_of(call.layer)[0]
        if first is not call and isinstance(call.layer, keras.layers.Layer) and call.layer.weights:
            for mine, theirs in zip((*call.reads, *call.writes), (*first.reads, *first.writes), strict=True):
                self._strands.tie(self._channels[id(mine)], self._channels[id(theirs)])

    def _pin_entries(self, call: Call) -> None:
        """What a model inside the model reads stays: its inputs have fixed sizes."""
        home = call.path.rpartition("/")[0]
        for tensor in call.reads:
            maker = self._makers.get(id(tensor))
            if maker is not None and not f"{maker.path.rpartition('/')[0]}/".startswith(f"{home}/" if home else ""):
                self._strands.pin(self._channels[id(tensor)])

    def first_calls(self) -> list[Call]:
        """Of each layer that is called, and is no bare operation, the first call."""
        calls = [call for call in self._flow.calls if isinstance(call.layer, keras.layers.Layer)]
        return [call for call in calls if self._flow.calls_of(call.layer)[0] is call]

    def needed(self) -> set[int]:
        """The strands that something needs: from what is pinned back, until no more are found; one of each tensor."""
        found = self.pinned
        while True:
            before = len(found)
            for call in reversed(self._flow.calls):
                found |= self._needed_by(call, found)
            if len(found) > before:
                continue
            empty = [each for each in self._channels.values() if not self._mask(each, found).any()]
            if not empty:
                return found
            found.add(int(self._strands.of(empty[0][:1])[0]))

    def _needed_by(self, call: Call, found: set[int]) -> set[int]:
        rule = self.rules[id(call)]
        if not isinstance(rule, rules.Mixed):
            return set()
        (read,), (made,) = call.reads, call.writes
        wanted = self._mask(self._channels[id(made)], found)
        needs = rule.needs(call, self._given(call), wanted)
        return {int(strand) for strand in self._strands.of(self._channels[id(read)][needs])}

    def _given(self, call: Call) -> Intervals:
        """What is known of what a layer reads in all of its calls: constants that differ are none."""
        every = [self._bounds[id(other.reads[0])] for other in self._flow.calls_of(call.layer)]
        return Intervals(np.min([each.low for each in every], 0), np.max([each.high for each in every], 0))

    def _mask(self, channels: Ints, needed: Collection[int]) -> Mask:
        return np.isin(self._strands.of(channels), list(needed))

    def strands(self, tensor: Any) -> Ints:
        """The strand of each channel of a tensor."""
        return self._strands.of(self._channels[id(tensor)])

    @property
    def every(self) -> set[int]:
        """All strands."""
        return {int(strand) for channels in self._channels.values() for strand in self._strands.of(channels)}

    @property
    def pinned(self) -> set[int]:
        """The strands of which none can go: inputs, outputs, and what a layer reads that nobody knows."""
        return {int(strand) for strand in self._strands.of(np.array(sorted(self._strands.pinned), np.int64))}

    def cut(self, call: Call, needed: Collection[int]) -> Cut:
        """What is left of the channels of a call."""

        def kept(tensor: Any) -> Kept:
            return np.flatnonzero(self._mask(self._channels[id(tensor)], needed))

        read = call.reads[0] if call.reads else call.writes[0]
        reads, given = kept(read), self._given(call) if call.reads else self._bounds[id(read)]
        gone = np.setdiff1d(np.arange(len(given.low)), reads)
        constants = np.zeros(len(given.low))
        constants[gone] = np.where(given.constant, given.low, 0.0)[gone]
        return Cut(reads, kept(call.writes[0]), constants, (*read.shape[:-1], len(reads)))
