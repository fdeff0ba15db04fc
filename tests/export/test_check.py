"""The cross-check must see every fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgett.export.check import INT8_TOLERANCE, TOLERANCE, Mismatch, compare, compare_outputs
from edgett.export.decisions import Decision
from edgett.export.owners import UNKNOWN, Owners
from edgett.forms.tt.order import Order
from edgett.forms.tt.shape import TTShape
from edgett.graph.graph import Constant, Graph, Step
from edgett.graph.memory import arena_bytes
from edgett.search.replaced import steps_of

WORDS = ("parameters", "bytes of parameters", "FLOPs", "MACs")
SHAPE = TTShape((2, 6), (4, 3), (1, 2, 1))


def tt_graph(shape: TTShape = SHAPE, bias: int = 12) -> Graph:
    """A TT layer, then a dense one."""
    sizes = {"x": 12, "y": 12, "z": 5}
    stored = (Constant("bias", bias),) if bias else ()
    steps = steps_of(Step("tt", "Factored", ("x",), ("y",), stored), shape, sizes)
    dense = Step("fc", "Dense", ("y",), ("z",), (Constant("kernel", 60), Constant("bias", 5)), 125, 60)
    return Graph((*steps, dense), sizes, ("x",), ("z",))


def test_equal_graphs_agree() -> None:
    check = compare(tt_graph(), tt_graph(), "f")
    assert check.mismatches == check.partial == ()
    cores = 2 * 4 * 2 + 2 * 6 * 3
    assert check.params == (cores + 12 + 65,) * 2
    # The last core meets both values of x_1, the first one all three of y_2.
    assert check.flops == (2 * (36 * 2 + 16 * 3) + 12 + 125,) * 2
    assert [row.layer for row in check.layers] == ["tt", "fc"]


@pytest.mark.parametrize(
    "wrong",
    [
        tt_graph(replace(SHAPE, order=Order.FIRST_LAST)),
        tt_graph(TTShape((6, 2), (3, 4), (1, 2, 1))),
        tt_graph(TTShape((2, 6), (3, 4), (1, 2, 1))),
        tt_graph(bias=0),
    ],
    ids=["order", "reversed", "transposed", "no bias"],
)
def test_a_wrong_prediction_of_a_tt_layer_is_a_mismatch(wrong: Graph) -> None:
    places = {mismatch.where for mismatch in compare(wrong, tt_graph(), "f").mismatches}
    sums = {place for place in places if not place.endswith("operators") and "operators " not in place}
    assert sums and sums <= {f"f, layer tt, {word}" for word in WORDS} | {"f, peak bytes"}
    assert sums & {"f, layer tt, parameters", "f, layer tt, FLOPs"}


def test_the_right_total_in_the_wrong_layer_is_a_mismatch() -> None:
    good = tt_graph()
    swapped = replace(good, steps=tuple(replace(s, layer={"tt": "fc", "fc": "tt"}[s.layer]) for s in good.steps))
    check = compare(good, swapped, "f")
    assert check.params[0] == check.params[1] and check.flops[0] == check.flops[1]
    wrong = [mismatch for mismatch in check.mismatches if "operators" not in mismatch.where]
    assert len(wrong) == 2 * len(WORDS) and len(check.mismatches) > len(wrong)


def test_an_operator_of_no_layer_is_a_mismatch() -> None:
    good = tt_graph()
    more = replace(good, steps=(*good.steps, Step(UNKNOWN, "MUL", ("z",), ("w",), (), 5)), sizes={**good.sizes, "w": 5})
    assert [str(mismatch) for mismatch in compare(good, more, "f").mismatches] == [
        "f, operators that belong to no layer, FLOPs: predicted 0, found 5",
        "f, operators that belong to no layer, mul operators: predicted 0, found 1",
    ]


@pytest.mark.parametrize("predicted", [True, False])
def test_a_layer_on_one_side_only_is_a_mismatch(predicted: bool) -> None:
    good = tt_graph()
    less = replace(good, steps=good.steps[:-1], outputs=("y",))
    check = compare(less, good, "f") if predicted else compare(good, less, "f")
    assert {m.where for m in check.mismatches} == {f"f, layer fc, {word}" for word in (*WORDS, "product operators")}


def test_a_number_of_another_width_is_a_mismatch() -> None:
    """The same count: only the bytes tell float32 from int8."""
    good = tt_graph()
    narrow = tuple(replace(constant, width=1) for constant in good.steps[-1].constants)
    (mismatch,) = compare(
        replace(good, steps=(*good.steps[:-1], replace(good.steps[-1], constants=narrow))), good, "f"
    ).mismatches
    assert str(mismatch) == "f, layer fc, bytes of parameters: predicted 65, found 260"


def test_work_that_is_no_mac_is_told_from_work_that_is() -> None:
    good = tt_graph()
    other = replace(good, steps=(*good.steps[:-1], replace(good.steps[-1], macs=59)))
    (mismatch,) = compare(good, other, "f").mismatches
    assert str(mismatch) == "f, layer fc, MACs: predicted 60, found 59"


def test_a_peak_above_the_predicted_one_is_a_mismatch() -> None:
    good = tt_graph()
    larger = replace(good, sizes={name: 3 * size for name, size in good.sizes.items()})
    (mismatch,) = compare(good, larger, "f").mismatches
    assert mismatch.where == "f, peak bytes" and mismatch.predicted == arena_bytes(good) < mismatch.found
    assert compare(larger, good, "f").mismatches == ()


def test_an_operator_without_a_rule_is_listed_and_leaves_the_other_layers_checked() -> None:
    def with_norm(flops: int) -> Graph:
        good = tt_graph()
        steps = (*good.steps, Step("norm", "Norm", ("z",), ("w",), (Constant("g", 5),), None))
        fc = replace(steps[-2], flops=flops)
        return replace(good, steps=(*steps[:-2], fc, steps[-1]), sizes={**good.sizes, "w": 5})

    check = compare(with_norm(125), with_norm(125), "f")
    assert check.mismatches == () and check.partial == ("Norm (norm)",)
    assert check.params[0] == tt_graph().params()
    assert [m.where for m in compare(with_norm(125), with_norm(130), "f").mismatches] == ["f, layer fc, FLOPs"]


def test_outputs_are_compared_by_their_worst() -> None:
    good = {"a": np.array([[3.0, 4.0], [0.0, 0.0]]), "b": np.array([[1.0], [-1.0]])}
    classes = {"a": Decision.TOP, "b": Decision.SIGN}
    exact = compare_outputs(good, good, decisions=classes)
    assert (exact.samples, exact.max_abs, exact.l2_relative, exact.top1, exact.ok) == (2, 0, 0, 1, True)
    other = {"a": good["a"] + [[0.0, 0.5], [0.0, 0.0]], "b": -good["b"]}
    off = compare_outputs(good, other, decisions=classes)
    assert compare_outputs(good, other, decisions={"b": Decision.SIGN}).top1 == 0
    assert compare_outputs(good, other).top1 is None
    assert (off.max_abs, off.l2_relative, off.top1, off.ok) == (2.0, 2.0, 0.5, False)
    near = compare_outputs(good, {"a": good["a"] * (1 + TOLERANCE / 2), "b": good["b"]})
    np.testing.assert_allclose(near.l2_relative, TOLERANCE / 2)
    assert near.ok


def test_int8_that_agrees_no_better_than_chance_is_not_ok() -> None:
    random = np.random.default_rng(0)
    classes = {"y": Decision.TOP}
    dense = random.dirichlet(0.1 * np.ones(8), 256)
    good = compare_outputs({"y": dense}, {"y": np.round(256 * dense) / 256}, INT8_TOLERANCE, classes)
    assert good.ok and good.fault is None and good.top1 is not None and good.top1 > 0.95
    constant = np.repeat(dense.mean(axis=0, keepdims=True), 256, axis=0)
    blind = compare_outputs({"y": dense}, {"y": constant}, INT8_TOLERANCE, classes)
    assert blind.l2_relative < INT8_TOLERANCE and not blind.ok
    assert blind.fault is not None and "output 'y' agrees with Keras's on" in blind.fault


def test_int8_of_values_that_says_no_more_than_a_constant_is_not_ok() -> None:
    """Around 300 a constant is off by a fiftieth, by which it knows nothing."""
    dense = 300 + 5 * np.random.default_rng(0).normal(size=(256, 3))
    constant = compare_outputs({"y": dense}, {"y": np.full_like(dense, 300)}, INT8_TOLERANCE)
    assert constant.l2_relative < 0.02 and constant.top1 is None and not constant.ok
    assert constant.fault == "output 'y' is off by 1.00 times what Keras's varies by"
    assert compare_outputs({"y": dense}, {"y": np.round(dense)}, INT8_TOLERANCE).ok
    assert compare_outputs({"y": dense[:1]}, {"y": np.round(dense[:1])}, INT8_TOLERANCE).ok


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_fail(value: float) -> None:
    good = {"a": np.ones((2, 3)), "b": np.ones((2, 3))}
    bad = {"a": np.full((2, 3), value), "b": np.ones((2, 3))}
    assert not compare_outputs(good, bad).ok
    assert not compare_outputs(bad, good).ok
    assert not compare_outputs(bad, bad).ok


def test_outputs_of_zeros_are_measured_absolutely() -> None:
    zeros = {"a": np.zeros((2, 3), np.float32)}
    assert compare_outputs(zeros, zeros).ok
    assert not compare_outputs(zeros, {"a": np.full((2, 3), 0.1, np.float32)}).ok


@pytest.mark.parametrize(
    ("found", "match"),
    [({"a": np.ones((2, 1))}, "not \\(2, 3\\)"), ({}, "outputs"), ({"b": np.ones((2, 3))}, "outputs")],
)
def test_other_names_or_shapes_cannot_be_compared(found: dict[str, np.ndarray], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        compare_outputs({"a": np.ones((2, 3))}, found)


def test_an_operator_belongs_to_the_layer_that_computes() -> None:
    owners = Owners({"pad": "enc/pad", "conv.2": "enc/conv", "act": "act"}, frozenset({"enc/conv"}), {})
    assert owners.layer(["pad/Pad;conv.2/x/convolution;act/Relu"]) == "enc/conv"
    assert owners.layer(["act/Relu"]) == "act"
    assert owners.layer(["StatefulPartitionedCall:0"]) == UNKNOWN
    assert owners.activates(["conv.2/x/_activation/mul", "StatefulPartitionedCall:0"])
    assert not owners.activates(["conv.2/x/_activation/Relu;conv.2/x/BiasAdd"])
    assert not owners.activates(["StatefulPartitionedCall:0"])


def test_mismatch_tells_both_numbers() -> None:
    assert str(Mismatch("layer fc, parameters", 1200, 1300)) == "layer fc, parameters: predicted 1,200, found 1,300"
