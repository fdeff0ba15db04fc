"""Two products computed together, against exact whole numbers and float64; which ones are."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgett.export.kernels import every
from edgett.export.kernels.fused import Fused
from tests.export.kernels.harness import Case, codes, ran
from tests.export.kernels.test_product import WAYS

SIZES = st.tuples(
    st.integers(1, 6), st.sampled_from([1, 2, 2, 4, 12]), st.integers(1, 5), st.sampled_from([1, 2, 3, 4, 8, 12, 16]),
    st.integers(1, 19), st.integers(1, 10),
)  # fmt: skip
"""Groups of the first's rows and of its columns, rows and columns of each, its inputs, the columns of the second."""
MANY = st.lists(SIZES, min_size=4, max_size=4)
SEED = st.integers(0, 2**32 - 1)


def network(sizes: tuple[int, ...], draw: np.random.Generator, integer: bool) -> Any:
    """A product, its groups of columns brought to the front, and a product of that, as tensor trains have them."""
    along, across, rows, columns, inner, outputs = sizes
    weights = [
        draw.integers(-127, 128, shape).astype("i1") if integer else draw.normal(size=shape).astype("f4")
        for shape in ((inner, columns * across), (rows * columns, outputs))
    ]
    shapes = {
        "x": (along * rows, inner), "a": (along * rows, columns * across),
        "b": (along * rows * columns, across), "c": (across, along * rows * columns),
        "d": (across * along, rows * columns), "y": (across * along, outputs),
    }  # fmt: skip
    stored = {"w0": weights[0], "w1": weights[1]}
    stored |= {f"to_{name}": np.array(shapes[name], np.int64) for name in "bd"}
    nodes = [
        _product("x", 0, "a", stored, draw, integer), helper.make_node("Reshape", ["a", "to_b"], ["b"], name="r0"),
        helper.make_node("Transpose", ["b"], ["c"], name="t", perm=[1, 0]),
        helper.make_node("Reshape", ["c", "to_d"], ["d"], name="r1"), _product("d", 1, "y", stored, draw, integer),
    ]  # fmt: skip
    kind = TensorProto.INT8 if integer else TensorProto.FLOAT
    told = {name: helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()}
    constants = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    inside = [told[name] for name in "abcd"]
    return helper.make_model(helper.make_graph(nodes, "g", [told["x"]], [told["y"]], constants, value_info=inside))


def _product(source: str, index: int, target: str, stored: dict[str, Any], draw: Any, integer: bool) -> Any:
    if not integer:
        return helper.make_node("MatMul", [source, f"w{index}"], [target], name=f"p{index}")
    zeros = {"in": draw.integers(-128, 128), "out": draw.integers(-128, 128)}
    stored |= {f"{name}_zero{index}": np.array(zero, "i1") for name, zero in zeros.items()}
    stored |= {f"{name}_scale{index}": np.array(scale, "f4") for name, scale in (("in", 0.02), ("w", 0.1), ("out", 1))}
    stored[f"w_zero{index}"] = np.array(0, "i1")
    names = [f"{name}{index}" for name in ("in_scale", "in_zero", "w", "w_scale", "w_zero")]
    ends = [f"out_scale{index}", f"out_zero{index}"]
    return helper.make_node("QGemm", [source, *names, "", *ends], [target], name=f"p{index}", domain="com.microsoft")


def together(model: Any) -> dict[str, Fused]:
    return every.fusions(model, every.kernels(model, {}))


def numbers(fused: Fused) -> list[int]:
    assert fused.kernel.struct is not None
    return [int(number) for number in re.findall(r"-?\d+", " ".join(fused.kernel.struct.numbers))]


def stored(model: Any) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def expected(model: onnx.ModelProto, x: np.ndarray, sizes: tuple[int, ...], integer: bool) -> np.ndarray:
    """Product, transpose, product, each by NumPy."""
    along, across, rows, columns, _, _ = sizes
    given = stored(model)
    for index in (0, 1):
        if integer:
            sums = (x.astype("i8") - given[f"in_zero{index}"]) @ given[f"w{index}"].astype("i8")
            factor = given[f"in_scale{index}"] * given[f"w_scale{index}"] / given[f"out_scale{index}"]
            x = codes(sums, np.float32(factor), int(given[f"out_zero{index}"]))
        else:
            x = x.astype("f8") @ given[f"w{index}"].astype("f8")
        if index == 0:
            x = x.reshape(-1, across).T.reshape(across * along, rows * columns)
    return x


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("integer", [True, False])
@settings(max_examples=15, deadline=None)
@given(MANY, SEED)
def test_gives_what_both_give(way: str, integer: bool, some: list[tuple[int, ...]], seed: int) -> None:
    draw, cases, wanted = np.random.default_rng(seed), [], []
    for sizes in some:
        model = network(sizes, draw, integer)
        if "p1" not in (found := together(model)):
            continue
        kernel, shape = found["p1"].kernel, (sizes[0] * sizes[2], sizes[4])
        x = draw.integers(-128, 128, shape).astype("i1") if integer else draw.normal(size=shape).astype("f4")
        values = expected(model, x, sizes, integer)
        kind = "i1" if integer else "f4"
        cases.append(Case(kernel.name, numbers(found["p1"]), [x, *kernel.constants], values.shape, kind, kernel.needs))
        wanted.append(values)
    for array, values in zip(ran(way, cases) if cases else (), wanted, strict=True):
        if integer:
            np.testing.assert_array_equal(array, values)
        else:
            np.testing.assert_allclose(array, values, rtol=0, atol=1e-5 * (1 + np.abs(values).max()))


class TestWhich:
    @given(SIZES, SEED)
    @settings(deadline=None, max_examples=60)
    def test_blocks_are_those_of_the_network(self, sizes: tuple[int, ...], seed: int) -> None:
        model = network(sizes, np.random.default_rng(seed), integer=False)
        for found in together(model).values():
            along, across, rows, columns, _, _ = sizes
            blocks = found.blocks
            # Rows of a group, or groups of one row: what it is called is the same.
            assert blocks.rows * blocks.columns == rows * columns
            assert blocks.across * blocks.along == across * along and blocks.count > 1
            assert found.first == "p0" and found.gone[0] == "p0" and {*found.gone} >= {"p0", "t"}

    def test_not_what_somebody_else_reads_too(self) -> None:
        model = network((2, 4, 3, 4, 5, 6), np.random.default_rng(0), integer=False)
        assert "p1" in together(model)
        model.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, (4, 24)))
        assert not together(model)

    def test_not_past_an_activation(self) -> None:
        """In int8 it is a table, and its node an Identity."""
        model = network((2, 4, 3, 4, 5, 6), np.random.default_rng(0), integer=True)
        first = next(node for node in model.graph.node if node.name == "p0")
        first.output[0] = "sums"
        model.graph.value_info.append(helper.make_tensor_value_info("sums", TensorProto.INT8, (6, 16)))
        model.graph.node.insert(1, helper.make_node("Identity", ["sums"], ["a"], name="lookup"))
        assert "p1" in every.fusions(model, every.kernels(model, {})), "it would be nothing but a name"
        tables = {"lookup": np.arange(-128, 128).astype("i1")}
        assert not every.fusions(model, every.kernels(model, tables))

    def test_not_columns_that_make_no_fours(self) -> None:
        assert not together(network((1, 3, 3, 7, 5, 6), np.random.default_rng(0), integer=True))

    def test_not_what_is_turned_otherwise(self) -> None:
        """The rows of the second read columns that lie anyhow."""
        model = network((2, 4, 3, 4, 5, 6), np.random.default_rng(0), integer=False)
        (turned,) = (node for node in model.graph.node if node.op_type == "Transpose")
        turned.op_type = "Reshape"
        del turned.attribute[:]
        turned.input.append("to_c")
        model.graph.initializer.append(numpy_helper.from_array(np.array((4, 24), np.int64), "to_c"))
        assert not together(model)

    def test_not_weights_that_do_not_go_into_words(self) -> None:
        model = network((2, 4, 3, 4, 5, 6), np.random.default_rng(0), integer=True)
        assert "p1" in together(model)
        weights = next(tensor for tensor in model.graph.initializer if tensor.name == "w0")
        weights.CopyFrom(numpy_helper.from_array(np.full((5, 16), -128, "i1"), "w0"))
        assert not together(model)
