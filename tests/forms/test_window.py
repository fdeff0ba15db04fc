"""How a convolution moves over an image, against Keras."""

from __future__ import annotations

import keras
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgett.forms.window import Padding, Window

SIZES = st.integers(1, 9)
FEW = st.integers(1, 4)


@settings(max_examples=200, deadline=None)
@given(st.tuples(FEW, FEW), st.tuples(SIZES, SIZES), FEW, FEW, st.sampled_from(Padding))
def test_writes_images_of_the_size_that_keras_says(
    kernel: tuple[int, int], size: tuple[int, int], stride: int, hole: int, padding: Padding
) -> None:
    assume(stride == 1 or hole == 1)
    assume(padding is Padding.SAME or all((k - 1) * hole < s for k, s in zip(kernel, size, strict=True)))
    window = Window(kernel, size, (stride, stride), (hole, hole), padding)
    layer = keras.layers.Conv2D(1, kernel, strides=stride, dilation_rate=hole, padding=padding.value)
    assert layer.compute_output_shape((None, *size, 1)) == (None, *window.made, 1)
    assert window.positions == window.made[0] * window.made[1] and window.pixels == size[0] * size[1]


def test_what_is_no_window() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Window((0, 3), (4, 4))
    with pytest.raises(ValueError, match="smaller than the window"):
        Window((3, 3), (2, 5), padding=Padding.VALID)
