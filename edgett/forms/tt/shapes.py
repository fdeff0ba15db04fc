"""Step 2: what a layer can be factorised into, and how many ways there are."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

from edgett.errors import UsageError
from edgett.forms.factors import divisors
from edgett.forms.site import Layer, too_large

MOST_RANKS = 4096
"""How many max ranks can be tried at once."""


def count_factorisations(number: int) -> Counter[int]:
    """Count the ordered factorisations of a number into factors >= 2, by their length.

    Args:
        number: 1 or more.

    Returns:
        How many there are of each length.
    """
    ways = {1: Counter({0: 1})}
    for d in divisors(number)[1:]:
        ways[d] = Counter()
        for prefix in [e for e in ways if e != d and d % e == 0]:
            for length, count in ways[prefix].items():
                ways[d][length + 1] += count
    return ways[number]


@cache
def count_orders(number: int) -> int:
    """Count the ordered factorisations of a number into factors >= 2, of whatever length."""
    return 1 if number == 1 else sum(count_orders(d) for d in divisors(number)[:-1])


def nth_factorisation(number: int, place: int) -> tuple[int, ...]:
    """The ordered factorisation of a number at a place in lexicographic order; `places` gives the reverse.

    Args:
        number: 1 or more.
        place: from 0 to below `count_orders(number)`.

    Returns:
        Its factors, each >= 2.
    """
    factors: list[int] = []
    while number > 1:
        for factor in divisors(number)[1:]:
            following = count_orders(number // factor)
            if place < following:
                break
            place -= following
        factors.append(factor)
        number //= factor
    return tuple(factors)


def places(number: int) -> dict[tuple[int, int], int]:
    """What each factor of an ordered factorisation adds to its place in lexicographic order.

    Args:
        number: what is factorised.

    Returns:
        By the products of the factors before it and up to it: a factorisation's place is the sum over its factors.
    """
    steps = {}
    for before in divisors(number):
        passed = 0
        for factor in divisors(number // before)[1:]:
            steps[before, before * factor] = passed
            passed += count_orders(number // before // factor)
    return steps


def nth_solution(layer: Layer, place: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The pair of factorisations of a layer's sizes at a place in lexicographic order, those of unequal length counted.

    Args:
        layer: a fully connected layer of weight (X, Y).
        place: from 0 to below the product of both sizes' `count_orders`.

    Returns:
        The factors of X, and those of Y.
    """
    inputs, outputs = divmod(place, count_orders(layer.outputs))
    return nth_factorisation(layer.inputs, inputs), nth_factorisation(layer.outputs, outputs)


def count_solutions(layer: Layer, max_ranks: Sequence[int]) -> int:
    """Count the solutions of step 2: pairs of factorisations of one length L >= 2, each with every max rank.

    Those that coincide after clamping count apart, as in the paper's table 1.

    Args:
        layer: a fully connected layer of weight (X, Y).
        max_ranks: those to try.

    Returns:
        Their number, exact.
    """
    inputs, outputs = count_factorisations(layer.inputs), count_factorisations(layer.outputs)
    return len(max_ranks) * sum(count * outputs[length] for length, count in inputs.items() if length >= 2)


def unfactorable(layer: Layer) -> str | None:
    """Why a layer has no TT solution at all.

    Args:
        layer: a fully connected layer of weight (X, Y).

    Returns:
        The reason in the user's words; None where it has some.
    """
    sizes = (layer.inputs, layer.outputs)
    if 1 in sizes:
        why = "1 has no factors"
    elif indivisible := [size for size in dict.fromkeys(sizes) if len(divisors(size)) == 2]:
        why = (
            f"{indivisible[0]} is prime"
            if len(indivisible) == 1
            else f"{indivisible[0]} and {indivisible[1]} are prime"
        )
    else:
        return None
    return f"{layer.inputs}x{layer.outputs}: no two factorisations of the same length: {why}"


def unsearchable(layer: Layer) -> str | None:
    """Why a layer has no space of TT solutions that can be explored.

    Args:
        layer: a fully connected layer of weight (X, Y).

    Returns:
        The reason in the user's words; None where it has one.
    """
    return too_large(layer) or unfactorable(layer)


def check_max_ranks(max_ranks: Sequence[int]) -> None:
    """Check that there are max ranks, ascending and each at least 1.

    Args:
        max_ranks: those to try.

    Raises:
        UsageError: where it is not so.
    """
    shown = ",".join(map(str, max_ranks[:8])) + ",..." * (len(max_ranks) > 8)
    if not max_ranks:
        raise UsageError("There are no max ranks to try.", cure="Give at least one, for example --ranks 2:12.")
    if max_ranks[0] < 1:
        raise UsageError(
            f"Max ranks {shown}: {max_ranks[0]} is below 1, the smallest rank.", cure="Start at 1 or more."
        )
    for before, after in itertools.pairwise(max_ranks):
        if after <= before:
            raise UsageError(
                f"Max ranks {shown}: {after} follows {before}, but they must ascend.", cure="Sort them, each once."
            )


def parse_ranks(text: str) -> tuple[int, ...]:
    """Read max ranks as the command line writes them.

    Args:
        text: "2:12" (both ends in), "2:64:4" (with a step) or "4,8,16".

    Returns:
        The ranks, ascending.

    Raises:
        UsageError: for any other text, and for more than 4096 ranks.
    """
    cure = "Write 2:12, 2:64:4 (with a step) or 4,8,16."
    if re.fullmatch(r"-?\d+:\d+(:\d+)?", text):
        first, last, step = (*map(int, text.split(":")), 1)[:3]
        if step < 1 or last < first:
            raise UsageError(f"Ranks {text!r} name no rank: from {first} to {last} in steps of {step}.", cure=cure)
        if (last - first) // step >= MOST_RANKS:
            raise UsageError(f"Ranks {text!r} are more than the {MOST_RANKS} that can be tried.", cure=cure)
        ranks = tuple(range(first, last + 1, step))
    elif re.fullmatch(r"-?\d+(,-?\d+)*", text):
        ranks = tuple(map(int, text.split(",")))
    else:
        raise UsageError(f"Ranks {text!r} are neither a range nor a list of whole numbers.", cure=cure)
    check_max_ranks(ranks)
    return ranks
