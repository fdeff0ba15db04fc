"""Biases that ride on the product before them, and those that must not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.riding import with_riding_biases

PRODUCT = Step("fc", "Product", ("x",), ("p",), (Constant("factor_1", 12),), 2 * 5 * 12, 5 * 12)
BIAS = Step("fc", "Add", ("p",), ("y",), (Constant("bias", 4),), 5 * 4)
GRAPH = Graph((PRODUCT, BIAS), {"x": 15, "p": 20, "y": 20}, ("x",), ("y",), fused=True)


def test_a_bias_becomes_a_part_of_its_product() -> None:
    found = with_riding_biases(GRAPH)
    (step,) = found.steps
    assert (step.reads, step.writes, step.operator) == (("x",), ("y",), "Product")
    assert (found.params(), found.flops(), found.macs) == (GRAPH.params(), GRAPH.flops(), GRAPH.macs)


def test_in_int8_it_takes_four_bytes_a_number_for_each_product() -> None:
    narrow = [replace(step, constants=tuple(replace(one, width=1) for one in step.constants)) for step in GRAPH.steps]
    again = [replace(step, reads=(f"2{step.reads[0]}",), writes=(f"2{step.writes[0]}",)) for step in narrow]
    twice = replace(GRAPH, steps=(*narrow, *again), outputs=("y", "2y"))
    assert with_riding_biases(replace(GRAPH, steps=tuple(narrow))).weight_bytes() == 12 + 4 * 4
    assert with_riding_biases(twice).weight_bytes() == 12 + 2 * 4 * 4


@pytest.mark.parametrize(
    "other",
    [
        replace(GRAPH, outputs=("p", "y")),
        replace(GRAPH, steps=(*GRAPH.steps, Step("z", "Relu", ("p",), ("z",)))),
        replace(GRAPH, steps=(PRODUCT, replace(BIAS, layer="other"))),
        replace(GRAPH, steps=(PRODUCT, replace(BIAS, constants=(Constant("bias", 20),)))),
        replace(GRAPH, steps=(PRODUCT, replace(BIAS, operator="Mul"))),
        replace(GRAPH, steps=(PRODUCT, Step("fc", "Transpose", ("p",), ("t",)), replace(BIAS, reads=("t",)))),
    ],
    ids=["an output", "read elsewhere", "another layer", "a number each", "a scale", "something between"],
)
def test_what_does_not_ride(other: Graph) -> None:
    assert with_riding_biases(other).steps == other.steps
