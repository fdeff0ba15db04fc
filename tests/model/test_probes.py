"""The probes of a calibration: what is measured is what the fit believes was."""

from __future__ import annotations

import numpy as np
import pytest

from edgett.device.calibrate import ConvolutionProbe, FormProbe, Probe, ProductChain, ProductProbe, Sum, graph
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.tt.shape import TTShape
from edgett.forms.window import Window
from edgett.graph.graph import Graph
from edgett.model.inference import inference_form
from edgett.model.predict import predict
from edgett.workflow.probing import model_of

KINDS: tuple[Probe, ...] = (
    ProductProbe(1, 12, 7),
    ProductProbe(5, 12, 7),
    FormProbe(TTShape((4, 5), (3, 2), (1, 2, 1))),
    FormProbe(TTShape((4, 4, 4), (4, 4, 4), (1, 2, 3, 1))),
    ProductChain(1),
    ProductChain(4),
    Sum(24),
    ConvolutionProbe(5, (3, 1), 4, 6),
    ConvolutionProbe(5, (3, 3), 4),
    FormProbe(CP(Window((3, 3), (6, 5)), 4, 7, 3)),
    FormProbe(Tucker2(Window((3, 3), (6, 5)), 4, 7, 3, 2)),
)


def operators(found: Graph) -> list[str]:
    return [step.operator for step in found.steps]


@pytest.mark.parametrize("fused", [True, False], ids=["tflite", "onnx"])
@pytest.mark.parametrize("probe", KINDS, ids=str)
def test_a_model_executes_what_its_probe_is_taken_for(probe: Probe, fused: bool) -> None:
    model, batch = model_of(probe)

    found, taken = predict(inference_form(model, batch), batch, fused=fused), graph(probe, channels_first=not fused)

    assert (found.params(), found.flops(), found.macs) == (taken.params(), taken.flops(), taken.macs)
    assert operators(found) == operators(taken)
    assert [step.depthwise for step in found.steps] == [step.depthwise for step in taken.steps]
    assert [found.sizes[step.writes[0]] for step in found.steps] == [
        taken.sizes[step.writes[0]] for step in taken.steps
    ]
    assert sorted(found.sizes[name] for name in found.inputs) == sorted(taken.sizes[name] for name in taken.inputs)


def test_every_kind_of_probe_is_looked_at() -> None:
    assert {type(probe) for probe in KINDS} == set(Probe.__args__)


@pytest.mark.parametrize("probe", [ProductProbe(1, 512, 512), ProductChain(16)], ids=str)
def test_numbers_neither_grow_nor_vanish(probe: Probe) -> None:
    """Subnormal ones take some processors a hundred times as long."""
    model, _ = model_of(probe)
    made = np.abs(model.predict_on_batch(np.random.default_rng(1).normal(size=(16, model.input_shape[1]))))
    assert np.finfo(np.float32).tiny < made.min() and made.max() < 10
