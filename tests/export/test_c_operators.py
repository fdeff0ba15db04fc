"""C of single operators, float32 and int8, and of graphs that mix them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgett.export import qoperator
from edgett.export.lookup import looked_up
from edgett.export.qdq import quantised
from tests.export.compiled import STEPS, build, off, templates_are_compiled_once  # noqa: F401
from tests.firmware.tools import needs


def network(nodes: list[Any], shape: tuple[int, ...], out: tuple[int, ...], **constants: np.ndarray) -> Any:
    """A float32 graph from x to y."""
    value = helper.make_tensor_value_info
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    ends = value("x", TensorProto.FLOAT, shape), value("y", TensorProto.FLOAT, out)
    graph = helper.make_graph(nodes, "edgett", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


node = helper.make_node
GRAPHS: dict[str, Callable[[], Any]] = {
    "product of three axes": lambda: network([node("MatMul", ["x", "w"], ["y"])], (2, 3, 4), (2, 3, 5), w=drawn(4, 5)),
    "product of two tensors": lambda: network(
        [node("Transpose", ["x"], ["t"], perm=[1, 0]), node("MatMul", ["x", "t"], ["y"])], (3, 4), (3, 3)
    ),
    "turned weights": lambda: network(
        [node("Gemm", ["x", "w", "b"], ["y"], transB=1)], (2, 4), (2, 5), w=drawn(5, 4), b=drawn(5)
    ),
    "scaled weights": lambda: network(
        [node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5)], (2, 4), (2, 5), w=drawn(4, 5), b=drawn(5)
    ),
    "difference": lambda: network(
        [node("MatMul", ["x", "w"], ["a"]), node("Sub", ["x", "a"], ["d"]), node("MatMul", ["d", "w"], ["y"])],
        (2, 4), (2, 4), w=drawn(4, 4),
    ),
    "difference to a constant": lambda: network(
        [node("Sub", ["c", "x"], ["d"]), node("MatMul", ["d", "w"], ["y"])], (2, 4), (2, 3), c=drawn(4), w=drawn(4, 3)
    ),
    "sums of all kinds": lambda: network(
        [node("MatMul", ["x", "w"], ["a"]), node("Add", ["x", "a"], ["b"]), node("Add", ["c", "b"], ["d"]),
         node("Add", ["d", "h"], ["e"]), node("ReduceMean", ["e"], ["m"], axes=[0], keepdims=1),
         node("Add", ["m", "e"], ["f"]), node("Add", ["f", "m"], ["g"]), node("MatMul", ["g", "w"], ["y"])],
        (3, 4), (3, 4), w=drawn(4, 4), c=drawn(4), h=drawn(3, 1),
    ),
    "gelu by hand": lambda: network(
        [node("MatMul", ["x", "w"], ["a"]), node("Erf", ["a"], ["e"]), node("Add", ["e", "one"], ["f"]),
         node("Mul", ["a", "f"], ["g"]), node("MatMul", ["g", "w"], ["y"])],
        (2, 4), (2, 4), w=drawn(4, 4), one=np.float32(1),
    ),
    "activations": lambda: network(
        [node("MatMul", ["x", "w"], ["a"]), node("Elu", ["a"], ["b"]), node("Reshape", ["b", "s"], ["c"]),
         node("MatMul", ["c", "w"], ["d"]), node("LeakyRelu", ["d"], ["e"]), node("MatMul", ["e", "w"], ["f"]),
         node("Sigmoid", ["f"], ["y"])],
        (2, 4), (2, 4), w=drawn(4, 4), s=whole(2, 4),
    ),
    "pools": lambda: network(
        [node("Conv", ["x", "k"], ["a"], pads=[1, 1, 1, 1]),
         node("MaxPool", ["a"], ["b"], kernel_shape=[2, 2], strides=[2, 2]),
         node("AveragePool", ["b"], ["c"], kernel_shape=[2, 2], pads=[1, 1, 1, 1]),
         node("Concat", ["c", "c"], ["d"], axis=1), node("Slice", ["d", "from", "to"], ["e"]),
         node("GlobalAveragePool", ["e"], ["y"])],
        (1, 2, 6, 6), (1, 5, 1, 1), k=drawn(3, 2, 3, 3), **{"from": whole(0, 1, 0, 0), "to": whole(1, 6, 4, 4)},
    ),
    "groups": lambda: network(
        [node("Conv", ["x", "k", "b"], ["y"], group=2, strides=[2, 1])], (1, 4, 5, 5), (1, 6, 2, 3),
        k=drawn(6, 2, 3, 3), b=drawn(6),
    ),
    "mean": lambda: network(
        [node("MatMul", ["x", "w"], ["a"]), node("ReduceMean", ["a"], ["m"], axes=[1], keepdims=0),
         node("MatMul", ["m", "w"], ["y"])],
        (2, 3, 4), (2, 4), w=drawn(4, 4),
    ),
    "softmax of columns": lambda: network(
        [node("MatMul", ["x", "w"], ["a"]), node("Softmax", ["a"], ["y"], axis=1)], (2, 3, 4), (2, 3, 4), w=drawn(4, 4)
    ),
    "no integer form": lambda: network(
        [node("Conv", ["x", "k"], ["a"]), node("ConvTranspose", ["a", "t"], ["b"]), node("Relu", ["b"], ["y"])],
        (1, 2, 5, 5), (1, 2, 5, 5), k=drawn(3, 2, 3, 3), t=drawn(3, 2, 3, 3),
    ),
    "three layers": lambda: network(
        [node("MatMul", ["x", "w"], ["a"], name="first"), node("MatMul", ["a", "w"], ["b"], name="second"),
         node("Relu", ["b"], ["c"], name="bent"), node("MatMul", ["c", "v"], ["y"], name="last")],
        (2, 4), (2, 7), w=drawn(4, 4), v=drawn(4, 7),
    ),
    "a product that a convolution reads turned": lambda: network(
        [node("MatMul", ["x", "w"], ["a"]), node("Transpose", ["a"], ["t"], perm=[0, 3, 1, 2]),
         node("Conv", ["t", "k"], ["y"], pads=[1, 1, 1, 1])],
        (1, 5, 4, 3), (1, 2, 5, 4), w=drawn(3, 6), k=drawn(2, 6, 3, 3),
    ),
    "an input that a convolution reads turned": lambda: network(
        [node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), node("Conv", ["t", "k"], ["y"], strides=[2, 1])],
        (1, 7, 4, 3), (1, 2, 3, 2), k=drawn(2, 3, 3, 3),
    ),
    "an input turned otherwise": lambda: network(
        [node("Transpose", ["x"], ["t"], perm=[0, 3, 2, 1]), node("Conv", ["t", "k"], ["y"])],
        (1, 7, 4, 3), (1, 2, 2, 5), k=drawn(2, 3, 3, 3),
    ),
    "a sequence that a convolution reads turned": lambda: network(
        [node("Unsqueeze", ["x", "axis"], ["u"]), node("Transpose", ["u"], ["t"], perm=[0, 3, 1, 2]),
         node("Conv", ["t", "k"], ["y"])],
        (1, 7, 3), (1, 2, 1, 5), k=drawn(2, 3, 1, 3), axis=whole(1),
    ),
    "a convolution of a constant": lambda: network(
        [node("Transpose", ["c"], ["t"], perm=[0, 3, 1, 2]), node("Conv", ["t", "k"], ["a"]),
         node("Add", ["x", "a"], ["y"])],
        (1, 2, 3, 2), (1, 2, 3, 2), c=drawn(1, 5, 4, 3), k=drawn(2, 3, 3, 3),
    ),
    "a maximum beside the image": lambda: network(
        [node("Conv", ["x", "k"], ["a"]),
         node("MaxPool", ["a"], ["y"], kernel_shape=[2, 2], dilations=[4, 4], pads=[1, 1, 1, 1])],
        (1, 2, 3, 3), (1, 2, 1, 1), k=drawn(2, 2, 1, 1),
    ),
    "a float output": lambda: network(
        [node("MatMul", ["x", "w"], ["a"]), node("Selu", ["a"], ["y"])], (2, 4), (2, 4), w=drawn(4, 4)
    ),
    "a float input": lambda: network(
        [node("MatMul", ["x", "w"], ["a"]), node("Selu", ["x"], ["b"]), node("Add", ["a", "b"], ["y"])],
        (2, 4), (2, 4), w=drawn(4, 4),
    ),
}  # fmt: skip


def saved(model: Any, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


@functools.cache
def graph_of_pairs(name: str, spared: tuple[str, ...] = ()) -> Any:
    model = GRAPHS[name]()
    onnx.checker.check_model(model, full_check=True)
    (shape,) = (tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in model.graph.input)
    numbers = np.random.default_rng(2)
    return quantised(model, [{"x": numbers.normal(size=shape).astype(np.float32)} for _ in range(32)], spared)


@needs("gcc")
class TestOperators:
    @pytest.mark.parametrize("name", GRAPHS)
    def test_float32(self, name: str, tmp_path: Path) -> None:
        off(build(saved(GRAPHS[name](), tmp_path / "a.onnx"), "one", tmp_path), 3)

    @pytest.mark.parametrize("name", GRAPHS)
    def test_int8(self, name: str, tmp_path: Path) -> None:
        assert off(build(saved(graph_of_pairs(name), tmp_path / "a.onnx"), "one", tmp_path)) <= STEPS + 0.01

    def test_weights_that_do_not_go_into_words_have_a_plain_kernel(self, tmp_path: Path) -> None:
        """Sums of 600 inputs and the largest weights are above 23 bits."""
        heavy = np.full((600, 5), 1.0, np.float32) * np.array([1, -1, 1, -1, 1], np.float32)
        model = network([node("MatMul", ["x", "w"], ["a"]), node("MatMul", ["a", "v"], ["y"])], (2, 600), (2, 3),
                        w=heavy, v=drawn(5, 3))  # fmt: skip
        numbers = np.random.default_rng(2)
        pairs = quantised(model, [{"x": numbers.normal(size=(2, 600)).astype(np.float32)} for _ in range(8)], ())
        made = build(saved(pairs, tmp_path / "a.onnx"), "one", tmp_path)
        assert made.source.plain == 1 and "one_product_wide(" in made.source.code
        assert off(made) <= STEPS + 0.01

    @pytest.mark.parametrize(
        ("spared", "types"),
        [
            (("first",), ["float", "int8_t"]),
            (("second", "bent"), ["int8_t", "int8_t"]),
            (("last",), ["int8_t", "float"]),
        ],
    )
    def test_some_layers_in_float32(self, spared: tuple[str, ...], types: list[str], tmp_path: Path) -> None:
        made = build(saved(graph_of_pairs("three layers", spared), tmp_path / "a.onnx"), "one", tmp_path)
        assert [port.c_type for port in (*made.source.inputs, *made.source.outputs)] == types
        assert {"one_product_int8", "one_product_float"} <= set(
            re.findall(r"static (?:one_APART )?void (\w+)", made.source.code)
        )
        assert off(made) <= STEPS + 0.01

    def test_names_that_the_header_uses_itself(self, tmp_path: Path) -> None:
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, (3,)) for name in ("int8_t", "workspace", "A", "a")
        ]
        nodes = [node("Add", ["int8_t", "workspace"], ["a"]), node("Mul", ["int8_t", "workspace"], ["A"])]
        graph = helper.make_graph(nodes, "edgett", ends[:2], ends[2:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        made = build(saved(model, tmp_path / "a.onnx"), "one", tmp_path)
        off(made)
        defined = re.findall(r"#define (\w+)", made.source.header)
        assert len(defined) == len(set(defined))


def test_what_is_element_wise_is_one_table() -> None:
    looked = looked_up(qoperator.integer(graph_of_pairs("gelu by hand")).model)
    kinds = [one.op_type for one in looked.model.graph.node if not one.name.startswith("lookup/")]
    assert len(looked.tables) == 1
    assert set(kinds) <= {"QGemm", "Identity"}


def test_weights_never_become_float32() -> None:
    for name in ("activations", "groups", "product of three axes"):
        model = qoperator.integer(graph_of_pairs(name)).model
        wide = [one for one in model.graph.initializer if one.data_type == TensorProto.FLOAT and np.prod(one.dims) > 6]
        assert not wide and not any(one.op_type in ("MatMul", "Conv") for one in model.graph.node)
