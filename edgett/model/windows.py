"""How a convolution of Keras moves over what it reads."""

from __future__ import annotations

from edgett.forms.window import Padding, Window, pair
from edgett.model.trace import Call


def window_of(call: Call) -> Window:
    """Tell how the kernel of a call moves; a depthwise half, that of a separable convolution.

    Args:
        call: of a convolution of rows or of images of a known size, its channels last.

    Returns:
        The window; of padding before a sequence, that over the longer one.
    """
    layer, size, padding = call.layer, pair(call.reads[0].shape[1:-1]), call.layer.padding
    kernel, strides, dilation = map(pair, (layer.kernel_size, layer.strides, layer.dilation_rate))
    if padding == "causal":
        size, padding = (size[0], size[1] + (kernel[1] - 1) * dilation[1]), "valid"
    return Window(kernel, size, strides, dilation, Padding(padding))
