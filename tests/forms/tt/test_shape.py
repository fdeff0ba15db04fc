"""A shape of a tensor train checks itself."""

from __future__ import annotations

import pytest

from edgett.forms.tt.shape import TTShape


def test_shape_knows_its_cores_matrix_and_name() -> None:
    shape = TTShape((4, 2), (3, 5), (1, 7, 1))

    assert shape.length == 2
    assert shape.cores == ((1, 4, 3, 7), (7, 2, 5, 1))
    assert shape.matrix == (8, 15)
    assert str(shape) == "4x2 -> 3x5, rank 7"


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (((8,), (15,), (1, 1)), "at least 2"),
        (((4, 2), (15,), (1, 2, 1)), "same number of factors"),
        (((4, 2), (3, 5), (1, 1)), "2 cores need 3 ranks"),
        (((4, 2), (3, 5), (2, 2, 1)), "the outer two 1"),
        (((4, 0), (3, 5), (1, 2, 1)), "must be at least 1"),
        (((4, 2), (3, 5), (1, 0, 1)), "must be at least 1"),
    ],
)
def test_shape_refuses_nonsense(parts: tuple[tuple[int, ...], ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TTShape(*parts)
