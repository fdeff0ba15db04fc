"""TT layers against T3F: right ones pass, and every part of one that computes may be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from edgett.export.check import Verdict
from edgett.forms.operators import Moves
from edgett.forms.tt import contraction
from edgett.forms.tt.order import Order
from edgett.model.reference import WHOLE, Deviation, deviations
from edgett.model.tt_dense import TTDense
from edgett.workflow.files import Style, check, write
from tests.conftest import EASY, Answer, Tiny
from tests.model.test_tt_dense import ORDERS

AXES = contraction._axes


def held(layer: TTDense) -> Deviation:
    (found,) = deviations(keras.Sequential([keras.Input((layer.spec.matrix[0],)), layer]))
    return found


def small(order: Order = Order.LAST_FIRST) -> TTDense:
    return TTDense((3, 4, 2), (2, 4, 3), (1, 3, 2, 1), order, name="tt")


def large(order: Order = Order.LAST_FIRST) -> TTDense:
    return TTDense((4, 8, 16), (32, 8, 4), (1, 6, 9, 1), order, name="tt")


SIZES = pytest.mark.parametrize("build", [small, large])


def wrong_axes(*arguments: Any) -> tuple[int, ...]:
    """Of a core that has both, the input factor and the rank that its product sums over change places."""
    first, second, *rest = AXES(*arguments)
    return second, first, *rest


@st.composite
def layers(draw: st.DrawFn) -> TTDense:
    length = draw(st.integers(2, 4))
    inputs, outputs = (draw(st.lists(st.integers(1, 4), min_size=length, max_size=length)) for _ in range(2))
    ranks = draw(st.lists(st.integers(1, 4), min_size=length - 1, max_size=length - 1))
    return TTDense(inputs, outputs, [1, *ranks, 1], draw(st.sampled_from(Order)), name="tt")


@settings(max_examples=10, deadline=None)
@given(layers(), st.integers(-20, 20))
def test_a_right_layer_is_within_rounding(layer: TTDense, scale: int) -> None:
    layer.build((None, layer.spec.matrix[0]))
    layer.cores[0].assign(layer.cores[0] * 2.0**scale)
    found = held(layer)
    assert found.ok and found.fault is None and found.rounding < 1e-3


@ORDERS
@SIZES
def test_of_any_size(build: Any, order: Order) -> None:
    layer = build(order)
    assert (np.prod(layer.spec.matrix) > WHOLE) == (build is large)
    found = held(layer)
    assert found.ok and 0 < found.error < 1e-6 and found.rounding < 1e-3


@pytest.mark.parametrize("built", [np.zeros, np.ones])
def test_numbers_that_round_to_nothing(built: Any) -> None:
    layer = small()
    layer.build((None, 24))
    layer.set_weights([built(weight.shape) for weight in layer.get_weights()])
    assert held(layer) == Deviation("tt", "T3F", 0.0, held(layer).rounding)


def test_cancelling_cores_may_round_by_more() -> None:
    """All but a millionth of what is summed over the rank cancels: what is left is rounded by as much more."""
    layer = TTDense((4, 4), (4, 4), (1, 2, 1), use_bias=False, name="tt")
    layer.build((None, 16))
    random = np.random.default_rng(0)
    first, second = (random.normal(size=(4, 4)).astype(np.float32) for _ in range(2))
    layer.cores[0].assign(np.stack([first, -first], -1)[np.newaxis])
    layer.cores[1].assign(np.stack([second, second * (1 + 1e-6)])[..., np.newaxis])
    found = held(layer)
    assert found.ok and found.error > 1e-3


@SIZES
def test_a_wrong_plan_is_named(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contraction, "_axes", wrong_axes)
    found = held(build())
    assert not found.ok and found.error > 0.1
    assert "layer tt computes with another weight than T3F makes of its factors" in str(found.fault)


@SIZES
def test_a_plan_that_is_wrong_for_one_runtime_alone_is_noticed(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contraction, "_axes", lambda s, c, m: wrong_axes(s, c, m) if m is Moves.RUNS else AXES(s, c, m))
    layer = build()
    assert not held(layer).ok
    assert layer.moves is Moves.NUMBERS


@SIZES
def test_a_wrong_rebuilt_weight_is_noticed(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = TTDense.kernel
    monkeypatch.setattr(TTDense, "kernel", lambda self: tf.reverse(kernel(self), [0]))
    assert not held(build()).ok


@SIZES
def test_coarser_numbers_are_noticed(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = TTDense.kernel
    monkeypatch.setattr(TTDense, "kernel", lambda self: tf.cast(tf.cast(kernel(self), tf.bfloat16), tf.float32))
    assert not held(build()).ok


def test_what_is_no_number_is_wrong() -> None:
    layer = small()
    layer.build((None, 24))
    layer.cores[0].assign(np.full(layer.cores[0].shape, np.nan))
    assert not held(layer).ok


def test_the_cross_check_fails_where_model_and_file_are_wrong_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [TTDense((3, 4), (2, 4), (1, 2, 1), name="tt"), keras.layers.Dense(3, name="end")]
    model = keras.Sequential([keras.Input((12,), name="x"), *layers])
    x = {"x": np.random.default_rng(0).normal(size=(8, 12)).astype(np.float32)}

    def checked() -> Any:
        (path,) = write(model, Style(), tmp_path / "m", (".onnx",))
        (found,) = check(model, x, [Path(path.name)], tmp_path, Style()).values()
        return found

    right = checked()
    assert right.verdict is Verdict.OK and [item.layer for item in right.deviations] == ["tt"]
    monkeypatch.setattr(contraction, "_axes", wrong_axes)
    wrong = checked()
    assert wrong.numerics.ok and wrong.graph.mismatches == ()
    assert wrong.verdict is Verdict.DIFFERS
    (told,) = wrong.mismatches
    assert told.startswith("layer tt ")


@pytest.mark.slow
def test_a_run_whose_layers_are_wrong_is_exit_code_5(
    edgett: Any, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contraction, "_axes", wrong_axes)
    answer: Answer = edgett("compress", *tiny.arguments, *EASY, "--out", tmp_path / "run", "--json")
    assert answer.code == 5
    assert "layer wide computes with another weight than T3F" in answer.document["error"]["message"]
