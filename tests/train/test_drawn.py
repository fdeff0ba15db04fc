"""Samples for a model that comes without data: what its first layers take, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest

from edgett.errors import ModelError
from edgett.train.drawn import INDICES, SAMPLES, drawn

L = keras.layers
Tensors = Callable[[keras.KerasTensor], object]


def samples(
    behind: Tensors, shape: tuple[int | None, ...] = (40,), dtype: str = "float32", seed: int = 0
) -> np.ndarray:
    """What is drawn for a model's only input, behind which these layers stand."""
    x = keras.Input(shape, name="x", dtype=dtype)
    found = drawn(keras.Model(x, behind(x)), seed).train.x["x"]
    assert found.dtype == dtype
    return found


def normalising(mean: float, variance: float, **more: bool) -> Tensors:
    return L.Normalization(axis=None, mean=mean, variance=variance, **more)


def is_normal(values: np.ndarray, mean: float, deviation: float) -> bool:
    """Of 64 x 40 numbers the mean is off by a fiftieth of the deviation; five times that is once in two million."""
    error = deviation / np.sqrt(values.size)
    return abs(values.mean() - mean) < 5 * error and abs(values.std() / deviation - 1) < 0.1 and values.min() < mean


class TestEachFirstLayer:
    def test_before_rescaling_all_that_a_byte_may_be(self) -> None:
        values = samples(L.Rescaling(1 / 255))
        assert (values.min(), values.max()) == (0, 255) and (values == np.rint(values)).all()

    def test_before_rescaling_whole_numbers_too(self) -> None:
        values = samples(L.Rescaling(1 / 255), dtype="uint8")
        assert (values.min(), values.max()) == (0, 255)

    def test_before_normalization_its_own_mean_and_variance(self) -> None:
        assert is_normal(samples(normalising(300.0, 16.0)), 300, 4)

    def test_each_axis_has_its_own(self) -> None:
        values = samples(L.Normalization(mean=[-50.0, 70.0], variance=[1.0, 400.0]), (20, 2))
        assert is_normal(values[..., 0], -50, 1) and is_normal(values[..., 1], 70, 20)

    def test_what_is_inverted_takes_a_standard_normal(self) -> None:
        assert is_normal(samples(normalising(300.0, 16.0, invert=True)), 0, 1)

    @pytest.mark.parametrize("dtype", ["float32", "int32"])
    def test_before_embeddings_indices_of_the_smallest_table(self, dtype: str) -> None:
        values = samples(lambda x: [L.Embedding(300, 2)(x), L.Embedding(7, 2)(x)], dtype=dtype)
        assert set(np.unique(values)) == set(range(7))

    def test_a_table_counts_before_what_is_rescaled(self) -> None:
        values = samples(lambda x: [L.Rescaling(1 / 255)(x), L.Embedding(7, 2)(x)], dtype="int32")
        assert values.max() == 6

    def test_indices_of_nobody_knows_what(self) -> None:
        values = samples(L.Flatten(), (10, 4), "int32")
        assert set(np.unique(values)) == set(range(INDICES))

    def test_truth_values(self) -> None:
        values = samples(L.Flatten(), (10, 4), "bool")
        assert 0.4 < values.mean() < 0.6

    def test_anything_else_is_normal(self) -> None:
        assert is_normal(samples(L.Dense(3)), 0, 1)

    def test_by_what_reads_the_input_and_not_what_stands_behind(self) -> None:
        assert is_normal(samples(lambda x: L.Rescaling(1 / 255)(L.Dense(3)(x))), 0, 1)


def two() -> keras.Model:
    a, b = keras.Input((3, 2), name="a"), keras.Input((5,), name="b", dtype="int32")
    return keras.Model([a, b], [L.Flatten()(a), L.Embedding(4, 2)(b)])


def test_every_input_has_samples_of_its_shape_and_there_are_no_labels() -> None:
    data = drawn(two(), 0)
    assert {name: values.shape for name, values in data.train.x.items()} == {"a": (SAMPLES, 3, 2), "b": (SAMPLES, 5)}
    assert data.train is data.validation is data.test and not data.train.y


def test_the_seed_decides() -> None:
    first, again, other = (drawn(two(), seed).train.x for seed in (3, 3, 4))
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        assert (values != other[name]).any()


def test_two_inputs_are_not_the_same_numbers() -> None:
    a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
    x = drawn(keras.Model([a, b], L.Add()([a, b])), 0).train.x
    assert (x["a"] != x["b"]).any()


def test_an_input_of_no_fixed_shape_is_refused_with_the_cure() -> None:
    with pytest.raises(ModelError) as raised:
        samples(L.GlobalAveragePooling1D(), (None, 3))
    assert raised.value.message == "input 'x' is (n, any, 3): of no fixed shape."
    assert raised.value.cure == "Save the model with a fixed one."
