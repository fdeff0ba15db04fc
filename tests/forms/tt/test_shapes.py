"""Step 2: factorisations, ranks, and how the command line writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.errors import UsageError
from edgett.forms.factors import divisors
from edgett.forms.site import Layer
from edgett.forms.tt.shape import tt_shape
from edgett.forms.tt.shapes import (
    count_factorisations,
    count_orders,
    count_solutions,
    nth_factorisation,
    parse_ranks,
    places,
    unfactorable,
)
from tests.search.enumeration import factorisations, pairs, shape

NUMBERS = st.integers(1, 200)


@given(NUMBERS)
def test_divisors(number: int) -> None:
    assert divisors(number) == [d for d in range(1, number + 1) if number % d == 0]


@given(NUMBERS)
def test_factorisations_are_counted_and_numbered_without_listing(number: int) -> None:
    listed = sorted(factorisations(number))
    assert count_orders(number) == count_factorisations(number).total() == len(listed)
    assert [nth_factorisation(number, place) for place in range(len(listed))] == listed
    for length, count in count_factorisations(number).items():
        assert count == sum(len(factors) == length for factors in listed)


@given(NUMBERS)
def test_places_add_up_along_a_factorisation(number: int) -> None:
    steps = places(number)
    for place, factors in enumerate(sorted(factorisations(number))):
        product, total = 1, 0
        for factor in factors:
            total += steps[product, product * factor]
            product *= factor
        assert total == place


@given(NUMBERS, NUMBERS)
def test_solutions_are_the_pairs_of_one_length_times_the_max_ranks(inputs: int, outputs: int) -> None:
    layer = Layer("fc", inputs, outputs)
    shapes = sum(len(xs) * len(ys) for xs, ys in pairs(layer))
    assert count_solutions(layer, (2, 3, 7)) == 3 * shapes
    assert (unfactorable(layer) is None) == (shapes > 0)


def test_totals_are_exact_beyond_64_bits() -> None:
    assert count_solutions(Layer("fc", 1 << 40, 1 << 40), (2,)) == 27217014869199032015600 - 1  # C(78, 39) - 1


@given(st.lists(st.tuples(st.integers(2, 9), st.integers(2, 9)), min_size=2, max_size=6), st.integers(1, 50))
def test_ranks_are_clamped_to_what_the_bond_holds(factors: list[tuple[int, int]], max_rank: int) -> None:
    inputs, outputs = zip(*factors, strict=True)
    assert tt_shape(inputs, outputs, max_rank) == shape(inputs, outputs, max_rank)


@pytest.mark.parametrize(
    ("text", "ranks"),
    [
        ("2:12", tuple(range(2, 13))),
        ("2:64:4", tuple(range(2, 65, 4))),
        ("4,8,16", (4, 8, 16)),
        ("1", (1,)),
        ("3:3", (3,)),
    ],
)
def test_ranks_as_written(text: str, ranks: tuple[int, ...]) -> None:
    assert parse_ranks(text) == ranks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' are neither"),
        ("2-12", "'2-12' are neither"),
        ("-1:4", "-1 is below 1"),
        ("2:12:", "'2:12:' are neither"),
        ("12:2", "from 12 to 2 in steps of 1"),
        ("2:12:0", "in steps of 0"),
        ("0:4", "0 is below 1"),
        ("4,2", "2 follows 4, but they must ascend"),
        ("4,4", "4 follows 4, but they must ascend"),
    ],
)
def test_ranks_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_ranks(text)
    assert caught.value.cure
