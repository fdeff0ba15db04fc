"""From a trained weight to the cores of a TT layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgett.values import TTShape

Cores = tuple[NDArray[np.float32], ...]

# Up to this many rows the Gram matrix of an unfolding is decomposed instead of the unfolding: far faster, and in
# float64 still exact to the precision of a float32 weight.
_GRAM_SIDE = 2048


def tt_svd(weight: NDArray[np.floating], shape: TTShape) -> Cores:
    """The cores of the given shape whose product comes closest to the weight, bond by bond.

    `weight` is (X, Y); core i is (r_{i-1}, x_i, y_i, r_i), float32. The squared error is at most the sum over the bonds
    of the squared singular values cut there (Oseledets 2011, algorithm 1), and the layout is that of
    `t3f.to_tt_matrix`. Raises ValueError when the weight is of another size or a rank exceeds what its bond can hold.
    """
    if weight.shape != shape.matrix:
        raise ValueError(f"a weight of {weight.shape} cannot take {shape}, which is {shape.matrix}")
    length = shape.length
    pairs = [axis for k in range(length) for axis in (k, length + k)]
    rest = np.asarray(weight, np.float64).reshape(shape.inputs + shape.outputs).transpose(pairs)
    cores = []
    for before, x, y, after in shape.cores[:-1]:
        unfolding = rest.reshape(before * x * y, -1)
        if after > min(unfolding.shape):
            raise ValueError(f"{shape}: rank {after} exceeds {min(unfolding.shape)}, all that its bond can hold")
        left = _leading_left_vectors(unfolding, after)
        cores.append(left.reshape(before, x, y, after))
        rest = left.T @ unfolding
    cores.append(rest.reshape(shape.cores[-1]))
    return tuple(np.ascontiguousarray(core, np.float32) for core in cores)


def rebuild(cores: Cores) -> NDArray[np.float64]:
    """The dense weight (X, Y) that the cores stand for, in float64."""
    weight = np.ones((1, 1, 1))
    for core in cores:
        _, x, _, after = core.shape
        weight = np.einsum("pqr,rxys->pxqys", weight, core.astype(np.float64), optimize=True)
        weight = weight.reshape(weight.shape[0] * x, -1, after)
    return weight[:, :, 0]


def relative_error(weight: NDArray[np.floating], cores: Cores) -> float:
    """||W - W'|| / ||W|| in the Frobenius norm; 0 for a weight of zeros."""
    norm = float(np.linalg.norm(weight))
    return float(np.linalg.norm(rebuild(cores) - weight)) / norm if norm else 0.0


def _leading_left_vectors(matrix: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The first `count` left singular vectors, as columns, each with its largest entry positive."""
    rows, columns = matrix.shape
    if rows <= min(columns, _GRAM_SIDE):
        vectors = np.linalg.eigh(matrix @ matrix.T)[1][:, ::-1][:, :count]
    elif columns <= _GRAM_SIDE:
        right = np.linalg.eigh(matrix.T @ matrix)[1][:, ::-1][:, :count]
        vectors = np.linalg.qr(matrix @ right)[0]
    else:
        vectors = np.linalg.svd(matrix, full_matrices=False)[0][:, :count]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(count)])
    return vectors * np.where(signs == 0, 1.0, signs)
