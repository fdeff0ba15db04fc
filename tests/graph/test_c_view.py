"""What a graph comes to as C: which transposes are left, and where int8 is float32."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgett.graph.c_view import compiled_bytes, quantised, straightened
from edgett.graph.graph import Graph, Step
from tests.graph.test_memory import chain


def layers(*steps: tuple[str, str]) -> Graph:
    """A chain of steps, (layer, operator) each."""
    graph = chain(*(operator for _, operator in steps))
    named = (replace(step, layer=layer) for step, (layer, _) in zip(graph.steps, steps, strict=True))
    return replace(graph, steps=tuple(named))


BETWEEN = ("c", "Add"), ("c", "leaky_relu"), ("bn", "Mul")


def test_transposes_that_undo_each_other_are_copies() -> None:
    graph = layers(
        ("c", "Transpose"), ("c", "Convolution"), ("c", "Transpose"), *BETWEEN, ("p", "Transpose"),
        ("p", "MaxPooling2D"), ("p", "Transpose"), ("f", "Flatten"), ("f", "Dense"),
    )  # fmt: skip
    kinds = [step.operator for step in straightened(graph).steps]
    assert kinds == [
        "Transpose", "Convolution", "Identity", "Add", "leaky_relu", "Mul", "Identity", "MaxPooling2D", "Transpose",
        "Flatten", "Dense",
    ]  # fmt: skip
    assert straightened(straightened(graph)) == straightened(graph)


@pytest.mark.parametrize(
    "steps",
    [
        (("t", "Product"), ("t", "Transpose"), ("t", "Add"), ("u", "Transpose"), ("u", "Product")),
        # Inside a factorised layer a transpose is arithmetic, whatever stands beside it.
        (("t", "Product"), ("t", "Add"), ("t", "Transpose"), ("r", "relu"), ("p", "Transpose"), ("p", "MaxPooling2D")),
        (("t", "Mul"), ("t", "Transpose"), ("r", "relu"), ("p", "Transpose"), ("p", "MaxPooling2D")),
        (("u", "Tile"), ("u", "Transpose"), ("r", "relu"), ("p", "Transpose"), ("p", "MaxPooling2D")),
        (("c", "Convolution"), ("c", "Transpose"), ("s", "softmax"), ("p", "Transpose"), ("p", "MaxPooling2D")),
        (("u", "Tile"), ("r", "relu"), ("p", "Transpose"), ("p", "MaxPooling2D")),
        (("c", "Convolution"), ("c", "Transpose"), ("r", "relu"), ("f", "Flatten"), ("f", "Dense")),
        (("r", "relu"), ("p", "Transpose"), ("p", "MaxPooling2D")),
        (("c", "Convolution"), ("c", "Transpose"), ("r", "relu")),
        (("c", "Convolution"), ("c", "Transpose"), ("r", "Reshape"), ("p", "Transpose"), ("p", "MaxPooling2D")),
        (("c", "Convolution"), ("c", "Transpose"), ("u", "Transpose"), ("u", "Product")),
    ],
)
def test_other_transposes_stay(steps: tuple[tuple[str, str], ...]) -> None:
    graph = layers(*steps)
    assert straightened(graph) == graph


def test_a_transpose_that_something_else_reads_stays() -> None:
    graph = layers(("c", "Convolution"), ("c", "Transpose"), *BETWEEN, ("p", "Transpose"), ("p", "MaxPooling2D"))
    for name in ("t1", "t2", "t4"):
        more = (*graph.steps, Step("other", "Dense", (name,), ("z",)))
        branched = replace(graph, steps=more, sizes={**graph.sizes, "z": 16}, outputs=("y", "z"))
        assert straightened(branched) == branched


def residual(*more: Step) -> Graph:
    """A sum of what a convolution makes and of what another makes of that, padded for a third."""
    steps = (
        Step("a", "Convolution", ("x",), ("a",)),
        Step("a", "Transpose", ("a",), ("a.",)),
        Step("b", "Transpose", ("a.",), (".b",)),
        Step("b", "Convolution", (".b",), ("b",)),
        Step("b", "Transpose", ("b",), ("b.",)),
        Step("sum", "Add", ("a.", "b."), ("sum",)),
        Step("pad", "ZeroPadding2D", ("sum",), ("pad",)),
        Step("c", "Transpose", ("pad",), (".c",)),
        Step("c", "Convolution", (".c",), ("y",)),
        *more,
    )
    names = dict.fromkeys(name for step in steps for name in (*step.reads, *step.writes))
    outputs = ("y", *(step.writes[0] for step in more))
    return Graph(steps, dict.fromkeys(names, 16), ("x",), outputs)


def test_a_layout_passes_through_branches_that_meet_again() -> None:
    assert "Transpose" not in [step.operator for step in straightened(residual()).steps]


@pytest.mark.parametrize("name", ["a.", "sum", "pad"])
def test_it_does_not_where_something_else_reads(name: str) -> None:
    graph = residual(Step("d", "Dense", (name,), ("z",)))
    kept = [step.writes[0] for step in straightened(graph).steps if step.operator == "Transpose"]
    assert kept == ["a.", ".b", "b.", ".c"]


def test_a_transposed_convolution_is_float32_in_an_int8_graph() -> None:
    graph = quantised(chain("Convolution", "ConvTranspose", "relu"))
    assert [step.operator for step in graph.steps] == ["Convolution", "Dequantize", "ConvTranspose", "Quantize", "relu"]
    assert [graph.bytes(step.writes[0], 1) for step in graph.steps] == [16, 64, 64, 16, 16]
    assert graph.steps[2].reads == graph.steps[1].writes
    assert (graph.inputs, graph.outputs) == (("x",), ("y",))


def test_the_last_activation_is_float32_where_nothing_quantises_it() -> None:
    inner, last = (quantised(chain(*kinds)) for kinds in (("Dense", "tanh", "Dense"), ("Dense", "tanh")))
    assert set(inner.widths.values()) == set()
    assert [step.operator for step in last.steps] == ["Dense", "Dequantize", "tanh"]
    assert last.bytes("y", 1) == 64
    assert quantised(chain("Dense", "sigmoid")).widths == {}
    assert compiled_bytes(chain("Dense", "tanh"), 1) == 16 + 16 + 64
    assert compiled_bytes(chain("Dense", "tanh"), 4) == 2 * 64


def test_an_activation_inside_is_one_look_up_in_int8() -> None:
    steps = (
        Step("l", "Dense", ("x",), ("a",)),
        Step("l", "mish", ("a",), ("b", "b/inside")),
        Step("l", "Dense", ("b",), ("y",)),
    )
    graph = Graph(steps, dict.fromkeys(("x", "a", "b", "b/inside", "y"), 16), ("x",), ("y",))
    assert compiled_bytes(graph, 1) == 3 * 16
    assert compiled_bytes(graph, 4) == 4 * 64
