"""A calibrated TFLite model just before TensorFlow makes it int8: ranges and weights chosen by what flows through it.

TensorFlow takes the range of a tensor from its smallest to its largest number, and rounds each weight by itself. Here
ranges are `ranges`', weights of convolutions and fully connected layers `rounding`'s: multiples already of the scale
that TensorFlow finds for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.export.calibration import Calibration
from edgett.export.ranges import STEPS, Ends, Histogram, some
from edgett.export.rounding import LONGEST, rounded
from edgett.export.watched import watched

ENOUGH = 4
"""Rows that a weight of an output is told by, at least; of fewer nothing is learnt about it."""

PLENTY = 16
"""Rows for a weight, of which no more are looked at; and at least `ROWS` in all."""

ROWS = 4096

Singles = NDArray[np.float32]


def refined(content: bytes, calibration: Calibration, spared: Collection[str]) -> bytes:
    """Choose the ranges and the weights of a calibrated model.

    Args:
        content: the float32 model, with what its tensors were found to hold.
        calibration: the inputs.
        spared: names of tensors whose operators stay in float32: their weights are left alone.

    Returns:
        The model, as large, with narrower ranges and rounded weights. Those of its inputs and outputs stay.
    """
    import flatbuffers

    from edgett.export.flatbuffer import parsed

    model = parsed(content)
    body = model.subgraphs[0]
    inside = _inside(body)
    products = [*_products(model, body, spared, len(calibration))]
    ends = Ends()
    for tensors in watched(content, inside, calibration):
        ends.add(tensors)
    histograms = {index: Histogram(*limits) for index, limits in ends.found.items()}
    for tensors in watched(content, {*inside, *(one.source for one in products)}, calibration):
        for index, histogram in histograms.items():
            histogram.add(some(tensors[index]))
        for one in products:
            one.add(tensors[one.source])
    for index, histogram in histograms.items():
        held = body.tensors[index].quantization
        held.min, held.max = ([limit] for limit in histogram.narrowed())
    for one in products:
        one.round(model, body)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _inside(body: Any) -> list[int]:
    """The tensors inside, the ends apart: whoever feeds the model, or reads it, finds the ranges that were seen.

    TensorFlow's own calibration gives to some the range of the next one, so those are found anew.
    """
    ends = {*body.inputs, *body.outputs}
    made = {index for operator in body.operators for index in operator.outputs} - ends
    calibrated = ((index, body.tensors[index].quantization) for index in sorted(made))
    return [index for index, held in calibrated if held is not None and held.min is not None and len(held.min) == 1]


class _Product:
    """A weight (N, ..., C) that one operator multiplies patches of a tensor by, and the moments of these."""

    def __init__(self, tensor: Any, source: int, options: Any, weight: Singles, samples: int) -> None:
        self.source, self._tensor, self._weight = source, tensor, weight.reshape(len(weight), -1).T
        self._options, self._window = options, weight.shape[1:-1]
        size = len(self._weight)
        self._moment, self._rows = np.zeros((size, size), np.float64), 0
        self._each = max(-(-max(PLENTY * size, ROWS) // samples), 1)
        self._random = np.random.default_rng(0)

    def add(self, x: Singles) -> None:
        """Look at some of the rows of what the operator reads."""
        rows = self._patches(x) if self._window else x.reshape(-1, len(self._weight))
        if len(rows) > self._each:
            rows = rows[self._random.choice(len(rows), self._each, replace=False)]
        exact = rows.astype(np.float64)  # what nearly cancels out counts, and has to stay positive
        self._moment += exact.T @ exact
        self._rows += len(rows)

    def _patches(self, x: Singles) -> Singles:
        import tensorflow as tf

        options, (rows, columns) = self._options, self._window
        found: Singles = tf.image.extract_patches(
            x, (1, rows, columns, 1), (1, options.strideH, options.strideW, 1),
            (1, options.dilationHFactor, options.dilationWFactor, 1), ("SAME", "VALID")[options.padding],
        ).numpy()  # fmt: skip
        return found.reshape(-1, len(self._weight))

    def round(self, model: Any, body: Any) -> None:
        """Write the rounded weights into the model; those of convolutions have a scale for each output."""
        if self._rows < ENOUGH * len(self._weight):
            return
        held = body.tensors[self.source].quantization
        step = 0.0 if held is None or held.min is None else (float(held.max[0]) - float(held.min[0])) / STEPS
        made = rounded(self._weight, self._moment / self._rows, step**2 / 12, apart=bool(self._window))
        model.buffers[self._tensor.buffer].data = np.frombuffer(np.ascontiguousarray(made.T).tobytes(), np.uint8)


def _products(model: Any, body: Any, spared: Collection[str], samples: int) -> Iterator[_Product]:
    """The products with a weight that no other operator has, short enough."""
    from edgett.export.tflite import operator_name

    read = [index for operator in body.operators for index in operator.inputs]
    buffers = [tensor.buffer for tensor in body.tensors]
    for operator in body.operators:
        if operator_name(model, operator) not in ("CONV_2D", "FULLY_CONNECTED"):
            continue
        source, held = operator.inputs[:2]
        tensor, shape = body.tensors[held], body.tensors[source].shape
        data, inputs = model.buffers[tensor.buffer].data, int(np.prod(tensor.shape[1:]))
        alone = read.count(held) == 1 and buffers.count(tensor.buffer) == 1
        whole = len(tensor.shape) == 2 or tensor.shape[-1] == shape[-1]  # no groups
        names = {body.tensors[index].name.decode() for index in operator.outputs}
        if data is None or not (alone and whole and 1 < inputs <= LONGEST) or names & set(spared):
            continue
        weight = np.frombuffer(bytes(data), np.float32).reshape(tensor.shape)
        yield _Product(tensor, source, operator.builtinOptions, weight, samples)
