"""Steps 2 to 5 the plain way, by listing every solution: the second algorithm that `edgett.search` is held against.

Shares with it only the values that carry the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgett.forms.site import CostModel, Layer
from edgett.forms.tt.shape import TTShape
from edgett.search.choices import EmptyTiles
from edgett.search.corners import Corner
from edgett.search.prune import Bounds
from edgett.search.tiles import LayerSpace

Ints = NDArray[np.int64]
SIGNS = [(-1, -1), (1, -1), (-1, 1), (1, 1)]


def factorisations(number: int) -> Iterator[tuple[int, ...]]:
    """Every ordered factorisation into factors of at least 2."""
    if number == 1:
        yield ()
    for factor in range(2, number + 1):
        if number % factor == 0:
            for rest in factorisations(number // factor):
                yield (factor, *rest)


def pairs(layer: Layer) -> Iterator[tuple[list[tuple[int, ...]], list[tuple[int, ...]]]]:
    """For each length the factorisations of X and those of Y."""
    inputs, outputs = list(factorisations(layer.inputs)), list(factorisations(layer.outputs))
    for length in range(2, layer.inputs.bit_length()):
        xs, ys = ([f for f in side if len(f) == length] for side in (inputs, outputs))
        if xs and ys:
            yield xs, ys


def costs(xs: Ints, ys: Ints, max_rank: int, model: CostModel) -> tuple[Ints, Ints]:
    """Parameters and FLOPs (bias left out) of each x factorisation (row) with each y factorisation (column)."""
    x, y = xs[:, None, :], ys[None, :, :]
    length = xs.shape[1]
    left = np.cumprod(x * y, axis=2)
    ranks = np.minimum(max_rank, np.minimum(left, left[..., -1:] // left))
    ranks = np.concatenate([np.ones_like(ranks[..., :1]), ranks], axis=2)
    params, flops = np.zeros(left.shape[:2], np.int64), np.zeros(left.shape[:2], np.int64)
    for i in range(length):
        before, after, x_i, y_i = ranks[..., i], ranks[..., i + 1], x[..., i], y[..., i]
        core = before * x_i * y_i * after
        params += core
        if model is CostModel.EXACT:
            flops += 2 * core * x[..., :i].prod(axis=2) * y[..., i + 1 :].prod(axis=2)
        else:
            rows = x[..., :-1].prod(axis=2)
            flops += (before * y_i) * (x_i * after) * rows + core + x_i * after * rows
    return params, flops


def shape(inputs: Sequence[int], outputs: Sequence[int], max_rank: int) -> TTShape:
    """The clamped shape, bond by bond."""
    ranks = [1]
    for k in range(1, len(inputs)):
        left = math.prod(inputs[:k]) * math.prod(outputs[:k])
        right = math.prod(inputs[k:]) * math.prod(outputs[k:])
        ranks.append(min(max_rank, left, right))
    return TTShape(tuple(inputs), tuple(outputs), (*ranks, 1))


def plain_space(layer: Layer, max_ranks: Sequence[int], model: CostModel, grid: int) -> LayerSpace:
    """What `layer_space` returns, except for `reason`."""
    blocks, listed = [], []
    for xs, ys in pairs(layer):
        for max_rank in max_ranks:
            params, flops = costs(np.array(xs), np.array(ys), max_rank, model)
            blocks.append((params.ravel(), flops.ravel()))
            listed.append((xs, ys, max_rank))
    if not blocks:
        return LayerSpace(layer, 0)
    sizes = [len(params) for params, _ in blocks]
    params, flops = (np.concatenate(column) for column in zip(*blocks, strict=True))
    keep = np.flatnonzero((params < layer.inputs * layer.outputs) & (flops < 2 * layer.inputs * layer.outputs))
    if not len(keep):
        return LayerSpace(layer, sum(sizes))
    params, flops = params[keep], flops[keep]
    bias = layer.outputs if layer.bias else 0

    def corner(index: int) -> tuple[tuple[object, ...], Corner]:
        block = int(np.searchsorted(np.cumsum(sizes), keep[index], side="right"))
        xs, ys, max_rank = listed[block]
        x, y = divmod(int(keep[index]) - sum(sizes[:block]), len(ys))
        p, f = int(params[index]), int(flops[index])
        order = (p, f, len(xs[x]), max_rank, xs[x], ys[y])
        return order, Corner(shape(xs[x], ys[y], max_rank), max_rank, p + bias, f + bias)

    def tile(value: Ints) -> Ints:
        low, high = int(value.min()), int(value.max())
        return np.minimum(grid - 1, (value - low) * grid // (high - low)) if high > low else np.zeros_like(value)

    tiles = tile(params) * grid + tile(flops)
    wide, high = int(np.ptp(params)), int(np.ptp(flops))
    by_tile = np.argsort(tiles, kind="stable")
    corners = {}
    for inside in np.split(by_tile, np.flatnonzero(np.diff(tiles[by_tile])) + 1):
        points = []
        for a, b in SIGNS:
            score = a * params[inside] * (high or 1) + b * flops[inside] * (wide or 1)
            points.append(min(corner(int(index)) for index in inside[score == score.max()])[1])
        corners[divmod(int(tiles[inside[0]]), grid)] = tuple(points)
    bounds = Bounds(*(int(v) + bias for v in (params.min(), params.max(), flops.min(), flops.max())))
    return LayerSpace(layer, sum(sizes), len(keep), bounds, corners)


def plain_joint(spaces: Sequence[LayerSpace], grid: int, empty: EmptyTiles) -> tuple[int, list[tuple[TTShape, ...]]]:
    """Tiles used, and the distinct joint candidates in order."""
    used, candidates = 0, []
    for here in np.ndindex(grid, grid):
        if empty is EmptyTiles.SKIP and any(here not in space.corners for space in spaces):
            continue
        used += 1
        stand_ins = []
        for space in spaces:
            occupied = np.array(sorted(space.corners))
            distance = ((occupied - here) ** 2).sum(axis=1)
            stand_ins.append(space.corners[tuple(occupied[distance.argmin()].tolist())])
        for point in range(4):
            candidate = tuple(corners[point].shape for corners in stand_ins)
            if candidate not in candidates:
                candidates.append(candidate)
    return used, candidates
