"""Numbers as an int8 file stores them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgett.train.storage import ONNX, SMALLEST, TFLITE, Rounded, Scheme

NUMBERS = st.floats(-100, 100, width=32)


@settings(deadline=None, max_examples=50)
@given(arrays.arrays(np.float32, (5, 3), elements=NUMBERS), st.sampled_from([4, 8]))
def test_a_weight_is_a_multiple_of_the_scale_of_its_column(weight, bits):
    rounded = np.asarray(Rounded(Scheme(True, False, {}, bits=bits), []).weight(tf.constant(weight), [0]))
    most = 2 ** (bits - 1) - 1
    for mine, theirs in zip(rounded.T, weight.T, strict=True):
        largest = np.abs(theirs).max()
        scale = largest / most if largest > SMALLEST else 1.0 / most
        np.testing.assert_allclose(mine, np.round(theirs / np.float32(scale)) * scale, atol=1.01 * scale)
        np.testing.assert_allclose(mine / scale, np.round(mine / scale), atol=1e-3)
        assert np.abs(mine - theirs).max() <= scale * 0.501 + 1e-6


@settings(deadline=None, max_examples=50)
@given(arrays.arrays(np.float32, (4, 3), elements=NUMBERS))
def test_what_is_rounded_stays_when_it_is_rounded_again(weight):
    once = Rounded(TFLITE, []).weight(tf.constant(weight), [0, 1])
    twice = Rounded(TFLITE, []).weight(once, [0, 1])
    np.testing.assert_allclose(np.asarray(twice), np.asarray(once), rtol=1e-5)


def test_the_gradient_of_a_weight_is_that_of_the_number_itself():
    weight = tf.Variable([[0.3, -0.7], [1.0, 0.2]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(Rounded(ONNX, []).weight(weight, [0]) * [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(tape.gradient(total, weight), [[1, 2], [3, 4]])


def test_tensors_are_rounded_by_their_ranges_in_turn_and_have_no_gradient_beyond_them():
    tensor = tf.Variable([-1.0, 0.1004, 0.95, 2.0])
    with tf.GradientTape() as tape:
        rounded = Rounded(TFLITE, [(0.0, 1.0), (0.0, 255.0)])
        first, second = rounded.tensor(tensor), rounded.tensor(tensor * 100)
        total = tf.reduce_sum(first)
    np.testing.assert_allclose(first, np.array([0, 26, 242, 255]) / 255, rtol=1e-6)
    np.testing.assert_allclose(second, [0, 10, 95, 200], rtol=1e-6)
    np.testing.assert_array_equal(tape.gradient(total, tensor), [0, 1, 1, 0])


def test_a_tensor_that_is_alike_has_the_scale_of_its_source():
    rounded = Rounded(TFLITE, [(0.0, 255.0)])
    source = rounded.tensor(tf.constant([3.4, 200.0]))
    np.testing.assert_allclose(rounded.alike(tf.constant([1.6, 2.4]), source), [2, 2])
    np.testing.assert_allclose(rounded.alike(tf.constant([1.5, 2.5, 200.5]), source), [1, 2, 201])  # codes from -128
    even = Rounded(ONNX, [(0.0, 255.0)])
    source = even.tensor(tf.constant([3.4, 200.0]))
    np.testing.assert_allclose(even.alike(tf.constant([1.5, 2.5, 200.5]), source), [2, 2, 200])
    unknown = tf.constant([1.6])
    assert rounded.alike(unknown, tf.constant([1.0])) is unknown


def test_a_bias_is_a_multiple_of_the_scales_of_input_and_weight():
    rounded = Rounded(ONNX, [(0.0, 25.5)])
    source = rounded.tensor(tf.constant([[1.0, 2.0]]))
    weight = tf.constant([[1.27, 0.5], [0.1, 2.54]])
    bias = np.asarray(rounded.bias(tf.constant([0.0104, 0.0309]), weight, [0], source))
    np.testing.assert_allclose(bias, [0.010, 0.030], rtol=1e-5)  # scales 0.1 * 0.01 and 0.1 * 0.02, rounded
    np.testing.assert_array_equal(rounded.bias(tf.constant([0.0104]), weight, [0], weight), [np.float32(0.0104)])


@pytest.mark.parametrize("ends", [True, False])
def test_probabilities_are_rounded_where_ends_are(ends):
    made = np.asarray(Rounded(TFLITE, [], ends=ends).fixed(tf.constant([0.001, 0.9]), 0.0, 255 / 256))
    np.testing.assert_allclose(made, [0, 230 / 256] if ends else [0.001, 0.9], rtol=1e-6)
