"""What layers lose on the inputs that they really get."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from edgett.forms.site import Cost
from edgett.forms.tt.shape import TTShape, tt_shape
from edgett.model.layers import replace
from edgett.model.weigh import SAMPLES, inputs_of, output_losses, specs_of
from edgett.search.solution import Solution

L = keras.layers
ROUGH, FINE = tt_shape((3, 4), (2, 5), 2), tt_shape((3, 4), (2, 5), 6)
HEAD = tt_shape((2, 5), (3, 2), 2)


def network() -> keras.Model:
    """Two inputs, a nested model, a layer that is called twice."""
    keras.utils.set_random_seed(3)
    inner_input = keras.Input((12,))
    inner = keras.Model(inner_input, L.Dense(10, "relu", name="fc")(inner_input), name="inner")
    left, right = keras.Input((12,), name="left"), keras.Input((12,), name="right")
    shared = L.Dense(10, name="shared")
    both = L.Add()([inner(L.Rescaling(0.5)(left)), shared(left), shared(right)])
    return keras.Model([left, right], L.Dense(6, name="head")(L.Dropout(0.5)(both)))


def arrays(count: int = 700) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.normal(size=(count, 12)).astype(np.float32) for name in ("left", "right")}


def solution(**shapes: TTShape) -> Solution:
    return Solution(0, {name.replace("__", "/"): shape for name, shape in shapes.items()}, Cost(0, 0), 0)


def test_the_inputs_of_every_call_of_nested_and_shared_layers() -> None:
    model, x = network(), arrays()
    seen = inputs_of(model, x, {"inner/fc", "shared", "head"})
    np.testing.assert_allclose(seen["inner/fc"], 0.5 * x["left"], rtol=1e-6)
    assert sorted(map(tuple, seen["shared"])) == sorted(map(tuple, np.concatenate([x["left"], x["right"]])))
    into = keras.Model(model.inputs, model.get_layer("head").input)
    np.testing.assert_allclose(seen["head"], into.predict([x["left"], x["right"]], verbose=0), atol=1e-5)


def test_equals_what_the_outputs_of_the_swapped_layer_lose() -> None:
    model, x = network(), arrays(SAMPLES)
    heard: list[int] = []
    (loss,) = output_losses(model, x, [solution(inner__fc=ROUGH)], heard.append)
    before, after = (m.get_layer("inner").get_layer("fc") for m in (model, replace(model, {"inner/fc": ROUGH})))
    rows = 0.5 * x["left"]
    true = rows @ np.asarray(before.kernel)
    share = np.square(np.asarray(after.contract(rows)) - true).sum() / np.square(true).sum()
    assert loss == pytest.approx(-math.log1p(-share), rel=1e-3)
    assert 0.05 < share < 0.95
    assert heard == [1]


def test_layers_add_up_and_each_shape_is_weighed_once() -> None:
    model, x = network(), arrays(50)
    solutions = [solution(inner__fc=ROUGH), solution(head=HEAD), solution(inner__fc=ROUGH, head=HEAD), solution()]
    heard: list[int] = []
    first, second, both, dense = output_losses(model, x, solutions, heard.append)
    assert both == pytest.approx(first + second)
    assert dense == 0
    assert len(heard) == len(specs_of(solutions)) == 2


def test_a_higher_rank_loses_less_and_the_full_one_nothing() -> None:
    model, x = network(), arrays(80)
    rough, fine = output_losses(model, x, [solution(shared=ROUGH), solution(shared=FINE)], lambda units: None)
    assert fine < 1e-6 < rough


def test_inputs_that_never_vary_do_not_count() -> None:
    """As the border of an image: what the weight does there costs nothing."""
    model, x = network(), arrays(200)
    layer = model.get_layer("shared")
    kernel = np.asarray(layer.kernel).copy()
    for array in x.values():
        array[:, :6] = 0
    (small,) = output_losses(model, x, [solution(shared=FINE)], lambda units: None)
    kernel[:6] *= 100
    layer.kernel.assign(kernel)
    (large,) = output_losses(model, x, [solution(shared=FINE)], lambda units: None)
    assert small < 1e-6 and large < 1e-4


def test_outputs_of_nothing_lose_nothing_and_a_loss_is_never_infinite() -> None:
    model, x = network(), arrays(40)
    model.get_layer("shared").kernel.assign(np.zeros((12, 10)))
    assert output_losses(model, x, [solution(shared=ROUGH)], lambda units: None) == (0.0,)
    x = {name: np.ones_like(array) for name, array in x.items()}
    kernel = np.random.default_rng(0).normal(size=(12, 10))
    model.get_layer("shared").kernel.assign(kernel - kernel.mean(axis=0) + 1e-9)
    (loss,) = output_losses(model, x, [solution(shared=ROUGH)], lambda units: None)
    assert math.isfinite(loss) and loss > 1
