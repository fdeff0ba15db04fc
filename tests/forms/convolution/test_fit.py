"""Chains fitted to what a convolution puts out, against bounds, SciPy and worked sums."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from edgett.forms.convolution import fit
from edgett.forms.convolution.chain import Chain
from edgett.forms.convolution.channel_svd import ChannelSVD, Side
from edgett.forms.convolution.cp import CP
from edgett.forms.convolution.fit import Fitter, shares
from edgett.forms.convolution.pointwise_svd import PointwiseSVD
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.convolution.tt_conv import TTConv
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.moments import Moments, of_patches, sums
from edgett.forms.site import Layer
from edgett.forms.window import Window
from tests.forms.convolution.cases import PLAIN, POINT, chains, patches_of, weight_of

LINE = Window((1, 3), (1, 9))
SPECS = [spec for window in (PLAIN, LINE, POINT) for spec in chains(window)]
EVERY = pytest.mark.parametrize("spec", SPECS, ids=str)
HEADED = pytest.mark.parametrize("spec", [spec for spec in SPECS if spec.head], ids=str)


def wanted_for(spec: Chain, seed: int = 0) -> Moments:
    return of_patches(weight_of(spec, seed), sums(patches_of(spec.matrix[0], seed=seed)))


def least(spec: Chain, wanted: Moments) -> float:
    """What no weight of its ranks can be below: each unfolding seen through the most that the metric shrinks."""
    assert wanted.moment is not None
    weight, moment = wanted.weight.astype(np.float64), wanted.moment.astype(np.float64)
    root = np.linalg.cholesky(moment).T
    shrunk = np.linalg.eigvalsh(moment)[0]
    bounds = []
    for rows, rank in spec.cuts:
        whole = rows == "hwc"
        values = np.linalg.svd(root @ weight if whole else spec.unfolded(weight, rows), compute_uv=False)
        bounds.append(np.square(values[rank:]).sum() * (1 if whole else shrunk))
    return float(max(bounds)) / wanted.energy


@EVERY
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000))
def test_no_worse_than_its_start_and_no_better_than_can_be(spec: Chain, seed: int) -> None:
    wanted, start = wanted_for(spec, seed), spec.best(weight_of(spec, seed))
    found = spec.dense(spec.fitted(start, wanted))
    assert wanted.distance(found) <= wanted.distance(spec.dense(start))
    assert wanted.lost(found) >= least(spec, wanted) - 1e-5


KINDS = (PointwiseSVD, SpatialSVD, CP, ChannelSVD, Tucker2, TTConv)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(3, 7), st.integers(3, 7)),
    st.integers(1, 3),
    st.data(),
)
def test_random_layers(kernel: tuple[int, int], channels: tuple[int, int], stride: int, data: st.DataObject) -> None:
    """Whatever the sizes and ranks: never worse than the start, never better than can be; with and without data."""
    window = Window(kernel, (5, 6), (stride, stride))
    layer = Layer("c", window.taps * channels[0], channels[1], positions=window.positions, window=window)
    kind = data.draw(st.sampled_from([kind for kind in KINDS if kind.unfit(layer) is None]))
    spec = data.draw(st.sampled_from(list(kind.every(layer, 1))))
    weight, seed = weight_of(spec), data.draw(st.integers(0, 99))
    for wanted in (wanted_for(spec, seed), of_patches(weight, None)):
        start = spec.best(wanted.weight)
        found = spec.dense(spec.fitted(start, wanted))
        assert wanted.distance(found) <= wanted.distance(spec.dense(start))
        if wanted.moment is not None:
            assert wanted.lost(found) >= least(spec, wanted) - 1e-5
        else:
            low = spec.error(weight).low
            assert np.linalg.norm(found - weight) >= (low - 1e-5) * np.linalg.norm(weight)


@EVERY
def test_is_closer_to_outputs_on_patches_that_it_has_not_seen(spec: Chain) -> None:
    weight = weight_of(spec)
    seen, others = np.split(patches_of(spec.matrix[0], 3000), 2)
    wanted, start = of_patches(weight, sums(seen)), spec.best(weight)
    found = spec.dense(spec.fitted(start, wanted))

    def lost(rebuilt: Any) -> float:
        return float(np.square(others @ (weight - rebuilt) - wanted.shift(rebuilt)).sum())

    assert lost(found) < 0.9 * lost(spec.dense(start))


@pytest.mark.parametrize("spec", [PointwiseSVD(POINT, 4, 6, 2), ChannelSVD(PLAIN, 4, 6, 3, Side.OUTPUTS)], ids=str)
def test_a_form_without_a_head_reaches_the_least_that_there_is(spec: Chain) -> None:
    wanted = wanted_for(spec)
    found = spec.fitted(spec.best(wanted.weight), wanted)
    assert wanted.lost(spec.dense(found)) == pytest.approx(least(spec, wanted), rel=1e-3)


def sensitivity(spec: Chain, links: Any, wanted: Moments) -> float:
    """The energies of what each channel makes by itself, over that of the outputs; nothing without a depthwise link."""
    if not spec.depthwise:
        return 0.0
    near, window, far = links
    channels = (near[0, 0][None, :, :] * window.reshape(-1, 1, spec.ranks[0])).reshape(spec.matrix[0], -1)
    alone = [channels[:, [place]] @ far[0, 0][[place]] for place in range(spec.ranks[0])]
    return sum(float(np.vdot(one, wanted.moment @ one)) for one in alone) / wanted.energy


@HEADED
def test_the_tail_is_the_best_for_its_head(spec: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """SciPy changes all links behind the head, and finds nothing better."""
    wanted = wanted_for(spec)
    fitter = Fitter(spec, wanted)
    head, links = fitter.fitted(spec, [fitter.start(spec)], 1)
    loss = wanted.lost(spec.dense(links))
    more = fit.CANCEL * sensitivity(spec, links, wanted)
    assert loss + more == pytest.approx(fitter.tail(spec, head).loss, abs=1e-5)
    if len(spec.links) - spec.head > 1:
        assert fitter.losses(spec, head)[spec.ranks[-1]] == pytest.approx(loss, abs=1e-5)
    shapes = spec.factors[spec.head :]
    ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    # Balanced links have another basis in the head, and the same span.
    fixed = [link.astype(np.float64) for link in links[: spec.head]]
    start = np.concatenate([link.reshape(-1) for link in links[spec.head :]]).astype(np.float64)

    def lost(point: Any) -> float:
        tail = [part.reshape(shape) for part, shape in zip(np.split(point, ends), shapes, strict=True)]
        change = spec.rebuild([*fixed, *tail]) - wanted.weight
        return float(np.vdot(change, wanted.moment @ change)) / wanted.energy

    assert optimize.minimize(lost, start, options={"maxiter": 30}).fun > loss - max(more, 1e-4)


def test_channels_do_not_cancel_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do where what each makes by itself does not count, for no gain."""
    spec = CP(Window((3, 3), (8, 8)), 16, 16, 16)

    def found() -> tuple[float, float]:
        wanted = wanted_for(spec)
        links = spec.fitted(spec.best(wanted.weight), wanted)
        return sensitivity(spec, links, wanted), wanted.lost(spec.dense(links))

    sensitive, lost = found()
    monkeypatch.setattr(fit, "CANCEL", 0.0)
    free, least_lost = found()
    assert sensitive < 2 < free / 3
    assert lost < 1.05 * least_lost


@HEADED
def test_slopes_are_those_of_what_is_lost(spec: Chain) -> None:
    fitter = Fitter(spec, wanted_for(spec))
    head, random = fitter.start(spec), np.random.default_rng(3)
    slopes = fitter.gradient(spec, head, fitter.tail(spec, head).slope)
    for place, slope in enumerate(slopes):
        way = random.normal(size=slope.shape)
        near, far = (
            fitter.tail(spec, [link + step * way if k == place else link for k, link in enumerate(head)]).loss
            for step in (-1e-5, 1e-5)
        )
        assert (far - near) / 2e-5 == pytest.approx(np.vdot(slope, way), rel=1e-4, abs=1e-7)


@HEADED
def test_ends_where_scipy_does(spec: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second algorithm, over all links at once, from where ours ended: there is next to nothing left."""
    monkeypatch.setattr(fit, "TOLERANCE", 1e-9)
    monkeypatch.setattr(fit, "MOST", 1000)
    wanted = wanted_for(spec)
    links = spec.fitted(spec.best(wanted.weight), wanted)
    ends = np.cumsum([link.size for link in links])[:-1]

    def lost(point: Any) -> float:
        parts = [part.reshape(link.shape) for part, link in zip(np.split(point, ends), links, strict=True)]
        change = spec.rebuild(parts) - wanted.weight
        return float(np.vdot(change, wanted.moment @ change)) / wanted.energy

    start = np.concatenate([link.reshape(-1) for link in links]).astype(np.float64)
    assert optimize.minimize(lost, start, options={"maxiter": 30}).fun > (0.9 if spec.depthwise else 0.99) * lost(start)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_what_can_be_held_is_found_again(spec: Chain) -> None:
    random = np.random.default_rng(5)
    weight = spec.dense([random.normal(size=shape) for shape in spec.factors]).astype(np.float32)
    wanted = of_patches(weight, sums(patches_of(spec.matrix[0])))
    assert wanted.lost(spec.dense(spec.fitted(spec.best(weight), wanted))) < 0.02


@EVERY
@pytest.mark.parametrize("scale", [1e-15, 1e12])
def test_the_size_of_weights_and_inputs_does_not_matter(spec: Chain, scale: float) -> None:
    weight, patches = weight_of(spec), patches_of(spec.matrix[0])
    small = of_patches(np.float32(scale) * weight, sums(patches))
    wanted = of_patches(weight, sums(patches))
    losses = [each.lost(spec.dense(spec.fitted(spec.best(each.weight), each))) for each in (small, wanted)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@EVERY
def test_without_data_it_is_fitted_to_the_weight(spec: Chain) -> None:
    wanted = of_patches(weight_of(spec), None)
    plain = spec.best(wanted.weight)
    found = spec.dense(spec.fitted(plain, wanted)) - wanted.weight
    assert np.linalg.norm(found) <= np.linalg.norm(spec.dense(plain) - wanted.weight) * (1 + 1e-6)
    assert not wanted.shift(spec.dense(plain)).any() and wanted.ridge == 1


@EVERY
@pytest.mark.parametrize("wrong", ["zeros", "nan", "still"])
def test_nothing_to_fit_to(spec: Chain, wrong: str) -> None:
    weight, patches = weight_of(spec), patches_of(spec.matrix[0])
    if wrong == "zeros":
        weight[:] = 0
    elif wrong == "nan":
        patches[3, 2] = np.nan
    else:
        patches[:] = 2
    start = spec.best(weight)
    for one, other in zip(spec.fitted(start, of_patches(weight, sums(patches))), start, strict=True):
        np.testing.assert_array_equal(one, other)


def test_moments_of_batches_add_up_and_the_bias_makes_up_for_the_mean() -> None:
    weight, patches = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32), patches_of(12)
    whole = of_patches(weight, sums(patches[:150]) + sums(patches[150:]))
    other = of_patches(weight, sums(patches))
    np.testing.assert_allclose(whole.moment, other.moment, rtol=1e-4, atol=1e-4)
    rebuilt = weight + np.random.default_rng(1).normal(size=weight.shape)
    lost = patches @ (weight - rebuilt)
    np.testing.assert_allclose(whole.shift(rebuilt), lost.mean(axis=0), rtol=1e-4, atol=1e-4)
    change = rebuilt - weight
    spread = np.square(lost - lost.mean(axis=0)).sum() / len(lost) + whole.ridge * np.square(change).sum()
    assert whole.distance(rebuilt) == pytest.approx(spread, rel=1e-4)
    unbiased = of_patches(weight, sums(patches), bias=False)
    square = np.square(lost).sum() / len(lost) + unbiased.ridge * np.square(change).sum()
    assert unbiased.distance(rebuilt) == pytest.approx(square, rel=1e-4)
    assert unbiased.mean is None and not unbiased.shift(rebuilt).any()


def test_a_fit_is_kept_and_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = CP(PLAIN, 4, 6, 3)
    wanted = wanted_for(spec)
    found = spec.fitted(spec.best(wanted.weight), wanted)
    monkeypatch.setattr(fit, "Fitter", None)
    assert spec.fitted(spec.best(wanted.weight), wanted) is found is wanted.kept[spec]


def test_growing_keeps_the_channels_that_there_are() -> None:
    for spec in SPECS:
        if not spec.head or len(spec.ranks) > 1:
            continue
        fitter, more = Fitter(spec, wanted_for(spec)), replace(spec, rank=spec.ranks[0] + 1)  # type: ignore[call-arg]
        head = fitter.start(spec)
        grown = fitter.grown(more, spec, head)
        assert [link.shape[2:] for link in grown] == [shape[2:] for shape in more.factors[: spec.head]]
        assert fitter.tail(more, grown).loss < fitter.tail(spec, head).loss


def test_shares_are_those_of_the_singular_values_where_nothing_is_known() -> None:
    spec = chains(PLAIN)[-1]
    weight = weight_of(spec)
    for rows in ("c", "hc", "hwc"):
        values = np.square(np.linalg.svd(spec.unfolded(weight, rows), compute_uv=False))
        expected = 1 - np.concatenate([[0], np.cumsum(values)]) / values.sum()
        found = shares(spec, of_patches(weight, None), rows)
        np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-6)
        assert not found[len(expected) :].any()
