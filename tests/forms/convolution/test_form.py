"""The Pareto front of a convolution, against every chain that there is."""

from __future__ import annotations

import numpy as np
import pytest

from edgett.errors import ModelError
from edgett.forms import catalogue, cost
from edgett.forms.convolution import form as subject
from edgett.forms.convolution.form import Chained
from edgett.forms.convolution.spatial_svd import SpatialSVD
from edgett.forms.convolution.tucker2 import Tucker2
from edgett.forms.front import Search, loss_of
from edgett.forms.moments import Moments, of_patches, sums
from edgett.forms.site import Layer
from edgett.forms.window import Window
from tests.forms.convolution.cases import patches_of

WINDOW = Window((3, 3), (6, 6))
LAYER = Layer("c", 9 * 6, 8, positions=36, window=WINDOW)
SEARCH = Search(1, 64)
WEIGHT = np.random.default_rng(0).normal(size=(54, 8)).astype(np.float32)
CHAINED = [form for form in catalogue.FORMS if isinstance(form, Chained)]


@pytest.fixture(scope="module")
def seen() -> Moments:
    return of_patches(WEIGHT, sums(patches_of(54)))


@pytest.mark.parametrize("form", CHAINED, ids=lambda form: form.spec.form)
def test_is_the_pareto_set_of_all_that_is_smaller_and_cheaper(form: Chained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "FITTED", 10_000)
    layer = LAYER if form.unfit(LAYER) is None else Layer("p", 12, 8, positions=36, window=Window((1, 1), (6, 6)))
    weight = np.random.default_rng(1).normal(size=(layer.inputs, layer.outputs)).astype(np.float32)
    known = of_patches(weight, sums(patches_of(layer.inputs)))
    heard: list[int] = []
    front = form.front(layer, weight, SEARCH, heard.append, known)
    assert sum(heard) == form.units(layer) and front.solutions == len(list(form.spec.every(layer, 1)))
    dense = cost.dense(layer)
    for spec, costs, loss, error in zip(front.specs, front.costs, front.losses, front.errors, strict=True):
        assert costs == cost.held(layer, spec) and costs.params < dense.params and costs.flops < dense.flops
        lost = known.lost(spec.dense(known.kept[spec]))
        assert loss == pytest.approx(loss_of(lost)) and error.estimate**2 == pytest.approx(lost)
        assert error.low <= error.estimate == error.high
    # Brute force over all that was fitted.
    every = {spec: cost.held(layer, spec) for spec in known.kept}
    losses = {spec: known.lost(spec.dense(known.kept[spec])) for spec in every}

    def beaten(spec: object) -> bool:
        mine = (every[spec].params, every[spec].flops, losses[spec])  # type: ignore[index]
        others = ((every[one].params, every[one].flops, losses[one]) for one in every)
        return any(other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in others)

    assert {spec for spec in every if not beaten(spec)} == set(front.specs)


def test_one_rank_has_all_its_chains_fitted_where_they_are_few(seen: Moments) -> None:
    front = Chained(SpatialSVD).front(LAYER, WEIGHT, SEARCH, lambda units: None, seen)
    able = [spec for spec in SpatialSVD.every(LAYER, 1) if spec.params < 54 * 8]
    assert {spec for spec in able if cost.held(LAYER, spec).flops < cost.dense(LAYER).flops} == set(front.specs)


def test_few_stand_for_many(seen: Moments, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out would not have been much better: by the brute force over all pairs of ranks."""
    monkeypatch.setattr(subject, "FITTED", 9)
    some = Chained(Tucker2).front(LAYER, WEIGHT, SEARCH, lambda units: None, of_patches(WEIGHT, sums(patches_of(54))))
    monkeypatch.setattr(subject, "FITTED", 10_000)
    monkeypatch.setattr(subject, "WORK", 1e15)
    whole = Chained(Tucker2).front(LAYER, WEIGHT, SEARCH, lambda units: None, seen)
    assert 4 <= len(some) <= 9 < len(whole)
    for costs, loss in zip(some.costs, some.losses, strict=True):
        best = min(other for each, other in zip(whole.costs, whole.losses, strict=True) if each.params <= costs.params)
        assert loss <= best + 0.1


def test_all_forms_together_and_their_peak() -> None:
    front = catalogue.front(LAYER, WEIGHT, SEARCH)
    assert len(front) and {spec.form for spec in front.specs} <= {form.spec.form for form in CHAINED}
    most = min(each.peak_elements for each in front.costs)
    bounded = catalogue.front(LAYER, WEIGHT, Search(1, 64, most_peak=most))
    assert len(bounded) and all(each.peak_elements <= most for each in bounded.costs)
    none = catalogue.front(LAYER, WEIGHT, Search(1, 64, most_peak=1))
    assert len(none) == 0 and "inside the bounds" in str(none.reason)


def test_a_stride_makes_an_early_pointwise_convolution_too_dear() -> None:
    """It runs on the whole image: chains with fewer parameters and more FLOPs than dense are no solutions."""
    window = Window((3, 3), (12, 12), strides=(3, 3))
    layer = Layer("c", 9 * 6, 8, positions=window.positions, window=window)
    front = catalogue.front(layer, WEIGHT, SEARCH)
    assert all(each.flops < cost.dense(layer).flops for each in front.costs)
    dear = [spec for spec in Tucker2.every(layer, 1) if cost.held(layer, spec).flops > cost.dense(layer).flops]
    assert dear and not set(dear) & set(front.specs)


@pytest.mark.parametrize("form", CHAINED, ids=lambda form: form.spec.form)
def test_weights_of_zeros_and_weights_that_are_none(form: Chained) -> None:
    layer = LAYER if form.unfit(LAYER) is None else Layer("p", 12, 8, positions=36, window=Window((1, 1), (6, 6)))
    heard: list[int] = []
    front = form.front(layer, np.zeros((layer.inputs, layer.outputs), np.float32), SEARCH, heard.append)
    assert len(front) and set(front.losses) == {0.0} and sum(heard) == form.units(layer)
    with pytest.raises(ModelError, match="NaN or infinite"):
        form.front(layer, np.full((layer.inputs, layer.outputs), np.inf, np.float32), SEARCH, heard.append)


def test_moments_that_tell_nothing_count_as_none() -> None:
    still = of_patches(WEIGHT, sums(np.ones((50, 54), np.float32)))
    assert not still.usable
    losses = [
        Chained(SpatialSVD).front(LAYER, WEIGHT, SEARCH, lambda units: None, seen).losses for seen in (still, None)
    ]
    assert losses[0] == losses[1]
