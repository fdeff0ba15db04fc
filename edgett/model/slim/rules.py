"""What layers do to channels: one class for each way of handling them, and the classes of Keras that do so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import activations, layers
from numpy.typing import NDArray

from edgett.model.layers import like
from edgett.model.slim.intervals import Intervals, joined, unknown
from edgett.model.slim.strands import Ints, Strands
from edgett.model.trace import Call

Kept = NDArray[np.int64]
Mask = NDArray[np.bool_]

RISING = (
    activations.linear, activations.relu, activations.relu6, activations.leaky_relu, activations.elu, activations.selu,
    activations.sigmoid, activations.hard_sigmoid, activations.tanh, activations.hard_tanh, activations.softplus,
    activations.softsign, activations.exponential, activations.log_sigmoid, activations.threshold,
)  # fmt: skip
"""Functions of one number that never fall as it grows."""

MIXING = (activations.softmax, activations.log_softmax, activations.glu, activations.sparsemax)
"""Functions that read several channels for one of theirs."""

DECAYED = 2.0**-60
"""Weights this much smaller than the largest of their layer count as zeros: weight decay never quite reaches them."""

BLOCK = 1 << 22
"""Weights that are looked at together: large layers would take gigabytes."""


@dataclass(frozen=True)
class Cut:
    """What is left of a layer's channels.

    Attributes:
        reads: the positions of those that are read, in order.
        writes: the positions of those that are written.
        constants: (channels read before,) what a channel that is gone always was, 0 where nothing was read of it.
        shape: of what is read now, the batch first.
    """

    reads: Kept
    writes: Kept
    constants: NDArray[np.float64]
    shape: tuple[int | None, ...]


class ChannelRule:
    """A layer whose channels nobody knows: all that it reads and writes stays."""

    def bounds(self, call: Call, given: Sequence[Intervals]) -> Intervals:
        """Between which values the channels that are written stay."""
        return unknown(call.writes[0].shape[-1])

    def strands(self, call: Call, given: Sequence[Ints], known: Strands) -> Ints:
        """The channels that are written, by the strands that they belong to."""
        for channels in given:
            known.pin(channels)
        made = known.new(call.writes[0].shape[-1])
        known.pin(made)
        return made

    def needs(self, call: Call, given: Intervals, wanted: Mask) -> Mask:
        """Which channels are needed to compute those that are wanted, beyond those of the same strands."""
        return np.zeros(len(given.low), np.bool_)

    def cut(self, layer: Any, cut: Cut) -> Any | None:
        """The layer with fewer channels; None where it needs no other settings or weights for that."""
        return None


class Same(ChannelRule):
    """Each channel for itself, and nothing to learn: activations, pooling, dropout, cropping."""

    def bounds(self, call: Call, given: Sequence[Intervals]) -> Intervals:
        return given[0]

    def strands(self, call: Call, given: Sequence[Ints], known: Strands) -> Ints:
        return given[0]


class Padded(Same):
    """Zeros round what is there."""

    def bounds(self, call: Call, given: Sequence[Intervals]) -> Intervals:
        return given[0].with_zero()


class Activated(Same):
    """A function of one number, as a layer."""

    def bounds(self, call: Call, given: Sequence[Intervals]) -> Intervals:
        rising = not isinstance(call.layer, layers.Activation) or call.layer.activation in RISING
        return behind(call.layer, given[0], rising)


class Tied(ChannelRule):
    """Several inputs of one shape, channel by channel."""

    def strands(self, call: Call, given: Sequence[Ints], known: Strands) -> Ints:
        for other in given[1:]:
            known.tie(given[0], other)
        return given[0]


class Summed(Tied):
    """Several inputs added."""

    def bounds(self, call: Call, given: Sequence[Intervals]) -> Intervals:
        return Intervals(np.sum([each.low for each in given], 0), np.sum([each.high for each in given], 0))


class Concatenated(ChannelRule):
    """Several inputs one behind the other."""

    def bounds(self, call: Call, given: Sequence[Intervals]) -> Intervals:
        return joined(given)

    def strands(self, call: Call, given: Sequence[Ints], known: Strands) -> Ints:
        return np.concatenate(given)


class Flattened(ChannelRule):
    """Every position's channels become features of their own."""

    def bounds(self, call: Call, given: Sequence[Intervals]) -> Intervals:
        many = call.writes[0].shape[-1] // len(given[0].low)
        return Intervals(np.tile(given[0].low, many), np.tile(given[0].high, many))

    def strands(self, call: Call, given: Sequence[Ints], known: Strands) -> Ints:
        return np.tile(given[0], call.writes[0].shape[-1] // len(given[0]))

    def cut(self, layer: Any, cut: Cut) -> Any | None:
        if isinstance(layer, layers.Reshape):
            return like(layer, target_shape=(*layer.target_shape[:-1], len(cut.writes)))
        return None


class Weighted(ChannelRule):
    """A layer with a bias and an activation behind what it does."""

    def strands(self, call: Call, given: Sequence[Ints], known: Strands) -> Ints:
        made = known.new(call.writes[0].shape[-1])
        if getattr(call.layer, "activation", None) in MIXING:
            known.pin(made)
        return made

    def activated(self, layer: Any, linear: Intervals) -> Intervals:
        """Behind the layer's activation."""
        if layer.activation in MIXING:
            return unknown(len(linear.low))
        return behind(layer.activation, linear, layer.activation in RISING)


class Mixed(Weighted):
    """Every output reads every input: dense layers and convolutions in one group."""

    def bounds(self, call: Call, given: Sequence[Intervals]) -> Intervals:
        layer = call.layer
        read = given[0].with_zero() if pads(layer) else given[0]
        bias = bias_of(layer, layer.kernel.shape[-1])
        made = [read.product(part, bias[place]) for place, part in blocks(layer)]
        return self.activated(layer, joined(made))

    def needs(self, call: Call, given: Intervals, wanted: Mask) -> Mask:
        met = np.zeros(len(given.low), np.bool_)
        for place, part in blocks(call.layer):
            met |= (part != 0).any(tuple(range(part.ndim - 2)))[:, wanted[place]].any(1)
        return met & ~foldable(call.layer, given)

    def cut(self, layer: Any, cut: Cut) -> Any | None:
        kernel = np.asarray(layer.kernel)[..., cut.writes]
        told, window = np.flatnonzero(cut.constants), tuple(range(kernel.ndim - 2))
        shift = cut.constants[told] @ kernel[..., told, :].astype(np.float64).sum(window)
        biased = layer.use_bias or bool((shift != 0).any())
        size = "units" if isinstance(layer, layers.Dense) else "filters"
        twin = built(like(layer, **{size: len(cut.writes), "use_bias": biased}), cut.shape)
        bias = bias_of(layer, np.shape(layer.kernel)[-1])[cut.writes] + shift
        twin.set_weights([kernel[..., cut.reads, :], *([bias] if biased else [])])
        return twin


class Depthwise(Weighted):
    """A window over each channel for itself; `depth_multiplier` outputs of each."""

    def bounds(self, call: Call, given: Sequence[Intervals]) -> Intervals:
        layer = call.layer
        kernel = np.concatenate([part for _, part in blocks(layer)], -1)  # (*window, channels, multiplier)
        many = kernel.shape[-1]
        read = given[0].with_zero() if pads(layer) else given[0]
        taps = kernel.reshape(-1, kernel.shape[-2] * many)
        bias = bias_of(layer, taps.shape[1])
        ends = Intervals(np.repeat(read.low, many), np.repeat(read.high, many))
        return self.activated(layer, ends.windowed(taps, bias))

    def strands(self, call: Call, given: Sequence[Ints], known: Strands) -> Ints:
        made = np.repeat(given[0], call.layer.depth_multiplier)
        if call.layer.activation in MIXING:
            known.pin(made)
        return made

    def cut(self, layer: Any, cut: Cut) -> Any | None:
        twin = built(like(layer), cut.shape)
        bias = [np.asarray(layer.bias)[cut.writes]] if layer.use_bias else []
        twin.set_weights([np.asarray(layer.kernel)[..., cut.reads, :], *bias])
        return twin


class Normalised(ChannelRule):
    """Batch normalisation: a scale and a shift of each channel."""

    def bounds(self, call: Call, given: Sequence[Intervals]) -> Intervals:
        layer = call.layer
        scale = 1 / np.sqrt(np.asarray(layer.moving_variance, np.float64) + layer.epsilon)
        scale *= np.asarray(layer.gamma, np.float64) if layer.scale else 1.0
        shift = np.asarray(layer.beta, np.float64) if layer.center else 0.0
        return given[0].scaled(scale, shift - np.asarray(layer.moving_mean, np.float64) * scale)

    def strands(self, call: Call, given: Sequence[Ints], known: Strands) -> Ints:
        return given[0]

    def cut(self, layer: Any, cut: Cut) -> Any | None:
        twin = built(like(layer), cut.shape)
        twin.set_weights([np.asarray(weight)[cut.reads] for weight in layer.get_weights()])
        return twin


SAME, UNKNOWN = Same(), ChannelRule()
RULES: Mapping[type, ChannelRule] = {
    layers.Dense: Mixed(), layers.Conv1D: Mixed(), layers.Conv2D: Mixed(), layers.DepthwiseConv1D: Depthwise(),
    layers.DepthwiseConv2D: Depthwise(), layers.BatchNormalization: Normalised(), layers.Activation: Activated(),
    layers.ReLU: Activated(), layers.LeakyReLU: Activated(), layers.ELU: Activated(), layers.Add: Summed(),
    layers.Average: Tied(), layers.Maximum: Tied(), layers.Minimum: Tied(), layers.Multiply: Tied(),
    layers.Subtract: Tied(), layers.Concatenate: Concatenated(), layers.Flatten: Flattened(),
    layers.Reshape: Flattened(), layers.ZeroPadding1D: Padded(), layers.ZeroPadding2D: Padded(), layers.Dropout: SAME,
    layers.SpatialDropout1D: SAME, layers.SpatialDropout2D: SAME, layers.GaussianNoise: SAME,
    layers.ActivityRegularization: SAME, layers.Identity: SAME, layers.MaxPooling1D: SAME, layers.MaxPooling2D: SAME,
    layers.AveragePooling1D: SAME, layers.AveragePooling2D: SAME, layers.GlobalAveragePooling1D: SAME,
    layers.GlobalAveragePooling2D: SAME, layers.GlobalMaxPooling1D: SAME, layers.GlobalMaxPooling2D: SAME,
    layers.Cropping1D: SAME, layers.Cropping2D: SAME, layers.UpSampling1D: SAME, layers.UpSampling2D: SAME,
}  # fmt: skip


def rule_of(call: Call) -> ChannelRule:
    """What a call does to channels; that of what nobody knows where its settings are others than a rule has it."""
    layer = call.layer
    rule = RULES.get(type(layer), UNKNOWN)
    settings = layer.get_config() if isinstance(layer, layers.Layer) else {}
    usual = settings.get("data_format") in (None, "channels_last") and settings.get("groups", 1) == 1
    last = settings.get("axis", -1) in (-1, len(call.reads[0].shape) - 1) if call.reads else False
    shapes = {tensor.shape for tensor in call.reads}
    match rule:
        case Activated() if isinstance(layer, layers.Activation) and layer.activation in MIXING:
            return UNKNOWN
        case Tied() if len(shapes) > 1:
            return UNKNOWN
        case Flattened() if not _flat(call):
            return UNKNOWN
    return rule if usual and last else UNKNOWN


def _flat(call: Call) -> bool:
    """Whether positions alone are flattened: the channels of each stay beside each other."""
    (source,), (made,) = call.reads, call.writes
    return len(made.shape) == 2 or made.shape[-1] == source.shape[-1]


def pads(layer: Any) -> bool:
    """Whether a layer reads zeros beyond the border."""
    return getattr(layer, "padding", "valid") != "valid" and any(size > 1 for size in layer.kernel_size)


def foldable(layer: Any, given: Intervals) -> Mask:
    """Which channels may go into the bias: constants, but for those that a border would tell apart."""
    return given.constant & ((given.low == 0) | (not pads(layer)))


def blocks(layer: Any) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """The kernel, some of the outputs at a time, zeros for what decayed to next to nothing.

    A weight so far below the layer's largest adds nothing to a sum that float32 could hold, but where all of the sum is
    as small.
    """
    kernel = np.asarray(layer.kernel)
    least = DECAYED * float(np.abs(kernel).max(initial=0))
    step = max(1, BLOCK // max(1, kernel[..., 0].size))
    for start in range(0, kernel.shape[-1], step):
        part = kernel[..., start : start + step].astype(np.float64)
        yield slice(start, start + step), np.where(np.abs(part) > least, part, 0.0)


def bias_of(layer: Any, outputs: int) -> NDArray[np.float64]:
    """The bias (outputs,), zeros where there is none."""
    return np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(outputs)


def behind(function: Callable[[Any], Any], given: Intervals, rising: bool) -> Intervals:
    """Behind a function of one number: where it may fall, only constants are known."""
    low, high = (
        np.asarray(function(keras.ops.convert_to_tensor(end, "float32")), np.float64) for end in (given.low, given.high)
    )
    if rising:
        return Intervals(low, high)
    return Intervals(np.where(given.constant, low, -np.inf), np.where(given.constant, high, np.inf))


def built(layer: Any, shape: tuple[int | None, ...]) -> Any:
    """The layer with weights for what it reads."""
    layer.build(shape)
    return layer
