"""Links of one length stand for what they stood for."""

from __future__ import annotations

import numpy as np
import pytest

from edgett.forms.convolution.balance import balanced
from edgett.forms.convolution.chain import Chain
from tests.forms.convolution.cases import PLAIN, POINT, chains

EVERY = pytest.mark.parametrize("spec", [spec for window in (PLAIN, POINT) for spec in chains(window)], ids=str)


@EVERY
def test_balanced_links_stand_for_the_same_weight(spec: Chain) -> None:
    links = [10.0**place * np.random.default_rng(6).normal(size=shape) for place, shape in enumerate(spec.factors)]
    found = balanced(spec, links)
    np.testing.assert_allclose(spec.rebuild(found), spec.rebuild(links), rtol=1e-8, atol=1e-8)
    norms = [np.linalg.norm(link) for link in found]
    assert max(norms) < 5 * min(norms)
