"""Links brought to the same length: what a chain stands for leaves the scale of each channel between them open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgett.forms.convolution.chain import Chain

Floats = NDArray[np.float64]

TINY = 1e-30
"""What stands for a length of 0."""


def balanced(spec: Chain, links: Sequence[Floats]) -> list[Floats]:
    """Links that stand for the same weight, channels and links of about one length.

    Args:
        spec: the chain.
        links: its links.

    Returns:
        Links of the same shapes.
    """
    found = list(links)
    if spec.depthwise:
        near, window, far = found
        lengths = [
            np.linalg.norm(each, axis=0) for each in (near[0, 0], window.reshape(-1, near.shape[3]), far[0, 0].T)
        ]
        mean = np.prod(np.maximum(lengths, TINY) ** (1 / 3), axis=0)
        scales = [mean / np.maximum(length, TINY) for length in lengths]
        return [near * scales[0], window * scales[1][:, None], far * scales[2][:, None]]
    for place in range(len(found) - 1):
        before, after = found[place], found[place + 1]
        rows = before.reshape(-1, before.shape[3])
        columns = after.transpose(2, 0, 1, 3).reshape(after.shape[2], -1)
        (one, upper), (other, lower) = np.linalg.qr(rows), np.linalg.qr(columns.T)
        left, values, right = np.linalg.svd(upper @ lower.T)
        count = min(len(values), before.shape[3])
        extra = ((0, 0), (0, before.shape[3] - count))
        root = np.sqrt(values[:count])
        rows, columns = np.pad(one @ left[:, :count] * root, extra), np.pad(other @ right[:count].T * root, extra).T
        found[place] = rows.reshape(before.shape)
        found[place + 1] = columns.reshape(after.shape[2], *after.shape[:2], -1).transpose(1, 2, 0, 3)
    norms = np.maximum([np.linalg.norm(link) for link in found], TINY)
    mean = np.exp(np.log(norms).mean())
    return [link * (mean / norm) for link, norm in zip(found, norms, strict=True)]
