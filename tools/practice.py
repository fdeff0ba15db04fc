"""How convolutional networks are commonly put into low-rank forms: what edgett is measured against.

One form for all k x k convolutions, 1x1 ones as SVDs; the ranks by one ratio for all layers, by a greedy choice of
ratios, or by variational Bayesian matrix factorisation. Each choice is the largest that fits into a share of the dense
network's parameters and FLOPs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from edgett.forms.convolution.chain import Chain
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.pointwise_svd import PointwiseSVD
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.site import Layer

Floats = NDArray[np.float64]
Edits = Mapping[str, Chain]

RATIOS = np.arange(0.95, 0.015, -0.01)
"""Of a layer's parameters."""

GREEDY = np.arange(0.9, 0.05, -0.1)
"""Those that each layer is measured with, as AIMET does."""


@dataclass(frozen=True)
class Network:
    """What is chosen for.

    Attributes:
        layers: the convolutions by path.
        weights: theirs, (k_h k_w C, N).
        fits: of edits, in order, the first that keeps within the shares; None where none does.
        accuracy: that on validation data with one layer in a form, decomposed and no more.
    """

    layers: Mapping[str, Layer]
    weights: Mapping[str, NDArray[np.floating]]
    fits: Callable[[Sequence[Edits]], Edits | None]
    accuracy: Callable[[str, Chain], float]


def one_ratio(kind: type[Chain], network: Network) -> Edits | None:
    """The largest ratio, the same for all layers, that fits."""
    return network.fits([_at(kind, network.layers, dict.fromkeys(network.layers, ratio)) for ratio in RATIOS])


def greedy(kind: type[Chain], network: Network) -> Edits | None:
    """For each layer the smallest ratio that alone keeps an accuracy, the highest with which all together fit.

    This is the greedy search of AIMET.
    """
    known = {
        path: [(ratio, network.accuracy(path, spec)) for ratio in GREEDY if (spec := largest(kind, layer, ratio))]
        for path, layer in network.layers.items()
    }
    levels = sorted({accuracy for some in known.values() for _, accuracy in some}, reverse=True)
    choices = []
    for level in levels:
        able = {path: [ratio for ratio, accuracy in some if accuracy >= level] for path, some in known.items()}
        choices.append(_at(kind, network.layers, {path: min(ratios) for path, ratios in able.items() if ratios}))
    return network.fits(choices)


def bayesian(kind: type[Chain], network: Network) -> Edits | None:
    """Tucker-2 with the ranks of variational Bayesian matrix factorisation (Kim et al. 2016).

    They are one point, and a far one: ranks between all channels and these, the same way for all layers, make the rest
    (as MUSCO weakens them). 1x1 convolutions likewise.
    """
    ends = {path: _bayesian(layer, network.weights[path]) for path, layer in network.layers.items()}
    return network.fits([_towards(network.layers, ends, share) for share in np.arange(0.02, 1.001, 0.02)])


PRACTICE: Mapping[str, Callable[[Network], Edits | None]] = {
    "Tucker-2, ranks by VBMF": lambda network: bayesian(Tucker2, network),
    "spatial SVD, one ratio": lambda network: one_ratio(SpatialSVD, network),
    "spatial SVD, greedy ratios": lambda network: greedy(SpatialSVD, network),
    "CP, one ratio": lambda network: one_ratio(CP, network),
}


def largest(kind: type[Chain], layer: Layer, ratio: float) -> Chain | None:
    """The largest chain of a form, or SVD of a 1x1 convolution, within a ratio of a layer's parameters."""
    form = kind if kind.unfit(layer) is None else PointwiseSVD
    if form.unfit(layer) is not None:
        return None
    most = ratio * layer.inputs * layer.outputs
    return max(
        (spec for spec in form.every(layer, 1) if spec.params <= most), key=lambda spec: spec.params, default=None
    )


def _at(kind: type[Chain], layers: Mapping[str, Layer], ratios: Mapping[str, float]) -> Edits:
    specs = {path: largest(kind, layers[path], ratio) for path, ratio in ratios.items()}
    return {path: spec for path, spec in specs.items() if spec is not None}


def _bayesian(layer: Layer, weight: NDArray[np.floating]) -> tuple[int, ...]:
    assert layer.window is not None
    if layer.window.taps == 1:
        return (vbmf_rank(weight),)
    taps = weight.reshape(layer.window.taps, layer.channels, layer.outputs)
    return vbmf_rank(taps.transpose(1, 0, 2).reshape(layer.channels, -1)), vbmf_rank(weight.T)


def _towards(layers: Mapping[str, Layer], ends: Mapping[str, tuple[int, ...]], share: float) -> Edits:
    """Ranks that are this share of the way from all channels to the ends."""
    found: dict[str, Chain] = {}
    for path, layer in layers.items():
        window = layer.window
        assert window is not None
        sides = (min(layer.channels, layer.outputs),) if window.taps == 1 else (layer.channels, layer.outputs)
        ranks = [round(side + share * (end - side)) for side, end in zip(sides, ends[path], strict=True)]
        kind: Any = PointwiseSVD if window.taps == 1 else Tucker2
        if kind.unfit(layer) is None:
            spec = kind(window, layer.channels, layer.outputs, *ranks)
            if spec.params < layer.inputs * layer.outputs:
                found[path] = spec
    return found


def vbmf_rank(matrix: NDArray[np.floating]) -> int:
    """The rank by the global analytic solution of empirical variational Bayesian matrix factorisation.

    Of a fully observed matrix with unknown noise (Nakajima, Sugiyama, Babacan and Tomioka 2013); at least 1.
    """
    small, large = sorted(matrix.shape)
    values = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    alpha = small / large
    tau = 2.5129 * np.sqrt(alpha)
    edge = (1 + tau) * (1 + alpha / tau)
    noise_rank = min(int(np.ceil(small / (1 + alpha))) - 1, small - 1)
    tail = values[noise_rank:] ** 2
    bounds = max(tail[0] / (large * edge), tail.mean() / large), (values**2).sum() / (small * large)

    def energy(variance: float) -> float:
        scaled = values**2 / (large * variance)
        signal, noise = scaled[scaled > edge], scaled[scaled <= edge]
        middle = signal - (1 + alpha)
        kept = (middle + np.sqrt(middle**2 - 4 * alpha)) / 2
        lost = np.sum(noise - np.log(noise)) + np.sum(signal - kept)
        return float(lost + np.sum(np.log((kept + 1) / signal)) + alpha * np.sum(np.log(kept / alpha + 1)))

    variance = minimize_scalar(energy, bounds=bounds, method="bounded").x
    return max(int((values > np.sqrt(large * variance * edge)).sum()), 1)
