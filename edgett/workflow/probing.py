"""Probes of a calibration as models in Keras and as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.device.bench import Subject
from edgett.device.calibrate import (
    ConvolutionProbe,
    FormProbe,
    ProductChain,
    ProductProbe,
    Sum,
)
from edgett.device.counted import LayerProbe, Small, StackProbe
from edgett.graph.dtype import DType

CALIBRATED = 16
"""Samples that the ranges of int8 probes are taken from."""


def subject(probe: Small, path: Path, dtype: DType) -> Subject:
    """A probe as a file, with the inputs that it is run on."""
    from edgett.model import ports
    from edgett.workflow.files import Style, write

    model, batch = model_of(probe)
    random = np.random.default_rng(0)
    inputs: dict[str, NDArray[Any]] = {
        port.name: random.normal(size=(batch * CALIBRATED, *map(int, filter(None, port.shape)))).astype(np.float32)
        for port in ports.input_ports(model)
    }
    style = Style(batch, list(_batches(inputs, batch)) if dtype is DType.INT8 else None)
    (made,) = write(model, style, path.with_suffix(""), [path.suffix])
    return Subject(made, {name: values[:batch] for name, values in inputs.items()})


def _batches(inputs: dict[str, NDArray[Any]], batch: int) -> Iterator[dict[str, NDArray[Any]]]:
    for index in range(CALIBRATED):
        yield {name: values[index * batch : (index + 1) * batch] for name, values in inputs.items()}


def model_of(probe: Small) -> tuple[Any, int]:
    """What a probe is in Keras, and for how many samples at once."""
    from edgett.model import probes

    match probe:
        case ProductProbe(rows, inner, columns):
            return probes.product(inner, columns), rows
        case FormProbe(spec, bias):
            return probes.in_form(spec, bias), 1
        case ProductChain(length):
            return probes.chain(length), 1
        case Sum(count):
            return probes.sum_of_two(count), 1
        case ConvolutionProbe(side, kernel, reads, writes, stride, roomy, across):
            size = side, side if across is None else across
            return probes.convolution(size, kernel, reads, writes, stride, roomy=roomy), 1
        case StackProbe(size, kernel, channels, stride, layers):
            return probes.stack(size, kernel, channels, stride, layers), 1
        case LayerProbe(name, shape, summed):
            return probes.layer(name, shape, summed=summed), 1
