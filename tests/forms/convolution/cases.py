"""Convolutions for tests: one of each form, weights, patches, and a convolution by loops."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.forms.convolution.chain import Chain
from edgett.forms.convolution.channel_svd import ChannelSVD, Side
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.pointwise_svd import PointwiseSVD
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.convolution.tt_conv import TTConv
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.window import Padding, Window

Array = NDArray[Any]

PLAIN = Window((3, 3), (5, 6))
POINT = Window((1, 1), (5, 6))


def chains(window: Window) -> tuple[Chain, ...]:
    """A chain of each form that fits a window, from 4 channels to 6."""
    if window.taps == 1:
        return (PointwiseSVD(window, 4, 6, 2),)
    found: tuple[Chain, ...] = (
        CP(window, 4, 6, 3),
        ChannelSVD(window, 4, 6, 2, Side.INPUTS),
        ChannelSVD(window, 4, 6, 3, Side.OUTPUTS),
        Tucker2(window, 4, 6, 2, 3),
    )
    if min(window.kernel) == 1:
        return found
    return (*found, SpatialSVD(window, 4, 6, 3), TTConv(window, 4, 6, 2, 3, 4))


def weight_of(spec: Chain, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=spec.matrix).astype(np.float32)


def patches_of(side: int, count: int = 400, seed: int = 1) -> Array:
    """Patches (n, X) whose numbers depend on one another, and have a mean."""
    random = np.random.default_rng(seed)
    mix = random.normal(size=(side, side)) * np.exp(-3 * np.arange(side) / side)[:, None]
    return np.asarray(random.normal(size=(count, side)) @ mix + 1.5, np.float32)


def convolved(images: Array, weight: Array, window: Window) -> Array:
    """A convolution of images (n, rows, columns, C) by a weight (k_h, k_w, C, N), by its definition."""
    around = [(0, 0)]
    for size, made, kernel, stride, dilation in zip(
        window.size, window.made, window.kernel, window.strides, window.dilation, strict=True
    ):
        whole = max((made - 1) * stride + (kernel - 1) * dilation + 1 - size, 0) * (window.padding is Padding.SAME)
        around.append((whole // 2, whole - whole // 2))
    padded = np.pad(images, [*around, (0, 0)])
    result = np.zeros((len(images), *window.made, weight.shape[-1]))
    for y, x in itertools.product(*map(range, window.made)):
        for a, b in itertools.product(*map(range, window.kernel)):
            pixel = padded[
                :, y * window.strides[0] + a * window.dilation[0], x * window.strides[1] + b * window.dilation[1]
            ]
            result[:, y, x] += pixel @ weight[a, b]
    return result


def separately(images: Array, weight: Array, window: Window) -> Array:
    """The same for each channel by itself, by a weight (k_h, k_w, C, 1)."""
    whole = weight * np.eye(weight.shape[2])
    return convolved(images, whole, window)
