"""What kernels of C are foretold to do: by hand, and by what the C calls that is written."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.export import c
from edgett.forms.window import Padding, Window
from edgett.graph.c_work import Effort, efforts
from edgett.graph.dtype import DType
from edgett.graph.filesize import Format
from edgett.graph.graph import Graph
from edgett.model import probes
from edgett.model.tt_dense import TTDense
from edgett.search.explore import Costing
from edgett.workflow import files, survey
from edgett.workflow.files import Style

L = keras.layers


def foretold(model: keras.Model, dtype: DType, batch: int = 1) -> Graph:
    return survey.graphs(model, Costing(batch, dtype.size, Format.C))(frozenset())


def done(model: keras.Model, dtype: DType, batch: int = 1) -> dict[str, Effort]:
    """What each kernel does; each may be there once."""
    found = [work for _, work in efforts(foretold(model, dtype, batch), dtype.size)]
    assert len({work.kernel for work in found}) == len(found)
    return {work.kernel: work for work in found}


def residual() -> keras.Model:
    x = keras.Input((9, 9, 3), name="x")
    a = L.Conv2D(8, 3, padding="same", activation="relu")(x)
    b = L.DepthwiseConv2D(3, padding="same", activation="relu6")(a)
    y = L.Activation("relu")(L.Add()([L.Conv2D(8, 1)(b), a]))
    y = L.DepthwiseConv2D((5, 3), padding="same")(L.MaxPooling2D(2)(y))
    return keras.Model(x, L.Dense(5, "softmax")(L.Flatten()(L.AveragePooling2D(2)(y))))


def vectors() -> keras.Model:
    x = keras.Input((48,), name="x")
    h = TTDense((6, 8), (8, 5), (1, 3, 1), activation="relu", name="tt")(x)
    h = L.Dense(18, "sigmoid")(h)
    h = TTDense((2, 9), (5, 2), (1, 2, 1), name="small")(h)
    return keras.Model(x, L.Activation("tanh")(h))


MODELS = {"residual": residual, "vectors": vectors}


def predicted(graph: Graph, dtype: DType) -> Counter[str]:
    """How often the functions of C are called by what is foretold."""
    kernels: dict[int, set[str]] = {}
    for step, work in efforts(graph, dtype.size):
        kernels.setdefault(id(step), set()).add(work.kernel)
    return Counter(filter(None, map(_function, kernels.values())))


def _function(kernels: set[str]) -> str:
    """The function of a step with these kernels; none where it is no kernel of ours."""
    kind = next(iter(kernels)).rpartition("_")[2]
    names = {kernel.removesuffix(f"_{kind}") for kernel in kernels}
    if names & {"patch", "patch_of_threes", "point", "pixels"}:
        return f"convolution_{kind}"
    if "fused" in names:
        return f"fused_{kind}"
    if names & {"row", "rows", "tight_rows", "column"}:
        return f"product_{kind}"
    if names & {"threes", "threes_twice", "window"}:
        return f"depthwise_{kind}"
    own = {"add_int8": "add", "sum_int8": "add_tensors", "lookup_int8": "lookup", "softmax_int8": "softmax"}
    own |= {f"maxpooling2d_{kind}": f"maxima_{kind}", f"averagepooling2d_{kind}": f"averages_{kind}"}
    return own.get(next(iter(kernels)), "")


def written(model: keras.Model, dtype: DType, folder: Path) -> Counter[str]:
    """How often the functions of the kernels are called by the C of a model."""
    (port,) = model.inputs
    random = np.random.default_rng(0)
    batches = [{"x": random.normal(size=(1, *port.shape[1:])).astype(np.float32)} for _ in range(8)]
    (made,) = files.write(model, Style(1, batches if dtype is DType.INT8 else None), folder / "m", [".onnx"])
    code = c.generate(made, "one", "1").code
    calls = re.findall(r"^    one_([a-z0-9_]+)\(", code[code.index("void one_run") :], re.MULTILINE)
    return Counter(name for name in calls if not name.startswith("node"))


@pytest.mark.parametrize("dtype", DType)
@pytest.mark.parametrize("name", MODELS)
def test_the_kernels_are_those_that_c_calls(name: str, dtype: DType, tmp_path: Path) -> None:
    model = MODELS[name]()
    assert predicted(foretold(model, dtype), dtype) == written(model, dtype, tmp_path)


SIZES = st.integers(1, 50)


class TestProducts:
    @given(st.integers(1, 9), SIZES, SIZES)
    def test_in_int8_columns_are_filled_up_to_fours_but_one_alone(self, rows: int, inner: int, columns: int) -> None:
        found = done(probes.product(inner, columns), DType.INT8, rows)
        alone = found.pop("column_int8", Effort("", calls=0))
        one = int(columns % 4 == 1)
        fours = -(-(columns - one) // 4) * 4
        assert (alone.macs, alone.outputs, alone.rows) == (rows * inner * one, rows * one, rows * one)
        assert sum(work.macs + work.tails for work in found.values()) == rows * inner * fours
        assert sum(work.tails for work in found.values()) == rows * (inner % 4) * fours
        if fours:
            assert sum(work.rows for work in found.values()) == rows
            pairs = sum(found.get(f"{name}_int8", Effort("")).rows for name in ("rows", "tight_rows"))
            assert pairs == rows - rows % 2 and found.keys() <= {"rows_int8", "tight_rows_int8", "row_int8"}

    def test_rows_that_are_not_written_yet_are_room_for_two(self) -> None:
        """Two rows of 10 inputs in 16 bits, 40 bytes at a multiple of four, are 43 that follow: nine rows of five."""
        found = done(probes.product(10, 5), DType.INT8, 16)
        assert (found["rows_int8"].rows, found["tight_rows_int8"].rows) == (6, 10)
        found = done(probes.product(10, 5), DType.INT8, 8)
        assert "rows_int8" not in found and found["tight_rows_int8"].rows == 8

    @given(st.integers(1, 9), SIZES, SIZES)
    def test_in_float32_columns_that_are_left_come_one_by_one(self, rows: int, inner: int, columns: int) -> None:
        found = done(probes.product(inner, columns), DType.FLOAT32, rows)
        fours, left = found.get("row_float", Effort("")), found.get("column_float", Effort(""))
        assert fours.macs + fours.tails == rows * inner * (columns - columns % 4)
        assert left.macs == rows * inner * (columns % 4) and left.outputs == rows * (columns % 4)


WINDOWS = st.builds(
    Window, st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(st.integers(4, 9), st.integers(4, 9)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)), st.just((1, 1)), st.sampled_from(Padding),
)  # fmt: skip


class TestWindows:
    @given(WINDOWS)
    def test_what_of_a_window_lies_on_the_image(self, window: Window) -> None:
        """Against TensorFlow's own patches of an image of ones."""
        import tensorflow as tf

        ones = np.ones((1, *window.size, 1), np.float32)
        way = (1, *window.kernel, 1), (1, *window.strides, 1), (1, 1, 1, 1), window.padding.value.upper()
        patches = tf.image.extract_patches(ones, *way).numpy()[0]
        down, across = window.inside
        np.testing.assert_array_equal(patches.sum(axis=-1), np.outer(down, across))

    def test_a_patch_by_hand(self) -> None:
        """3x3 over 4x5 pixels of two channels, zeros around them: six of twenty places see pixels alone."""
        x = keras.Input((4, 5, 2), name="x")
        found = done_of(
            keras.Model(x, L.Conv2D(6, 3, padding="same", use_bias=False)(x)), DType.FLOAT32, "patch_of_threes"
        )
        assert found == Effort("patch_of_threes_float", 0, 40, 14 * 18, 2 * 10 * 13, 2 * 10 * 5, 20)

    def test_pairs_of_a_depthwise_3x3(self) -> None:
        """Of five rows of five two times two come at once, of each row the last number alone; moved by two all do."""
        x = keras.Input((5, 5, 3), name="x")
        one, two = (keras.Model(x, L.DepthwiseConv2D(3, strides, "same", use_bias=False)(x)) for strides in (1, 2))
        twice, once = (
            work for _, work in efforts(foretold(one, DType.INT8), 1) if work.kernel.startswith("threes")
        )  # fmt: skip
        assert twice == Effort("threes_twice_int8", outputs=3 * 4 * 4, rows=3 * 2, calls=3)
        assert once == Effort("threes_int8", tails=3 * 5, outputs=75 - 48, rows=3 * 5, calls=0)
        assert done_of(two, DType.INT8, "threes") == Effort("threes_int8", tails=27, outputs=27, rows=9, calls=3)


def done_of(model: keras.Model, dtype: DType, kernel: str) -> Effort:
    """What one kernel does."""
    (found,) = (work for _, work in efforts(foretold(model, dtype), dtype.size) if work.kernel.startswith(kernel))
    return found


def test_groups_are_loops() -> None:
    x = keras.Input((4, 4, 8), name="x")
    model = keras.Model(x, L.Conv2D(8, 3, groups=2, use_bias=False)(x))
    assert done_of(model, DType.FLOAT32, "loops").macs == 4 * 8 * 9 * 4
