"""Memory in C: transposes that products make superfluous, and scratch where it costs nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.graph.c_plan import Claim, planned, scratch_of, two_positions, two_rows
from edgett.graph.graph import Graph, Step
from edgett.graph.memory import in_place, places, static_bytes


def chain(*sizes: int, turned: bool) -> Graph:
    """Products from "t0" on, a transpose behind each but the last."""
    steps, elements, name = [], {"t0": sizes[0]}, "t0"
    for index, size in enumerate(sizes[1:], 1):
        steps.append(Step("w", "MatMul", (name,), (f"t{index}",)))
        elements[f"t{index}"], name = size, f"t{index}"
        if turned and index < len(sizes) - 1:
            name = f"t{index}/turned"
            steps.append(Step("w", "Transpose", (f"t{index}",), (name,)))
            elements[name] = size
    return Graph(tuple(steps), elements, ("t0",), (name,))


def test_a_product_that_turns_its_result_needs_no_room_for_both() -> None:
    graph = chain(64, 512, 64, 16, turned=True)
    claims = {"t1": Claim(idle=("t1/turned",)), "t2": Claim(idle=("t2/turned",))}

    assert static_bytes(in_place(graph).graph, 1) == 64 + 16 + 2 * 512
    found = planned(graph, claims, 1)
    assert [step.operator for step in found.graph.steps] == ["MatMul"] * 3
    assert static_bytes(found.graph, 1) == 64 + 16 + 512 + 64
    assert found.homes["t1"] == found.homes["t1/turned"]


@pytest.mark.parametrize(("wanted", "given"), [(448, 448), (449, 0)])
def test_scratch_is_given_where_the_transposes_took_as_much(wanted: int, given: int) -> None:
    graph = chain(64, 512, 64, 16, turned=True)
    found = planned(graph, {"t2": Claim(scratch=wanted, idle=("t2/turned",)), "t1": Claim(idle=("t1/turned",))}, 1)

    assert found.graph.sizes.get(scratch_of("t2"), 0) == given
    assert static_bytes(found.graph, 1) <= 64 + 16 + 2 * 512


def test_what_is_needed_is_given_anyway() -> None:
    graph = chain(64, 512, 16, turned=False)
    found = planned(graph, {"t1": Claim(needs=100, scratch=900)}, 4)

    assert found.graph.bytes(scratch_of("t1"), 4) == 100 and found.graph.sizes[scratch_of("t1")] == 25
    assert static_bytes(found.graph, 4) == 4 * (64 + 16 + 512) + 112


def test_what_may_write_over_its_input_does_when_nobody_else_reads_that() -> None:
    steps = [Step("a", "Conv", ("x",), ("t",)), Step("b", "Conv", ("t",), ("u",)), Step("c", "Conv", ("u",), ("y",))]
    graph = Graph(tuple(steps), dict.fromkeys("xtuy", 100), ("x",), ("y",))

    assert planned(graph, {"u": Claim(over=True)}, 1).homes["u"] == "t"
    assert planned(graph, {"t": Claim(over=True)}, 1).homes["t"] == "t", "an input is not written to"
    both = replace(graph, steps=(*steps[:2], Step("c", "Add", ("u", "t"), ("y",))))
    homes = planned(both, {"u": Claim(over=True)}, 1).homes
    assert homes["u"] != homes["t"]


@given(
    st.lists(st.integers(1, 300), min_size=3, max_size=7), st.lists(st.integers(0, 400), min_size=7, max_size=7),
    st.sampled_from([1, 4]),
)  # fmt: skip
def test_scratch_never_costs_memory_nor_meets_what_lives(sizes: list[int], wanted: list[int], width: int) -> None:
    graph = chain(*sizes, turned=True)
    inner = range(1, len(sizes) - 1)
    claims = {f"t{index}": Claim(scratch=wanted[index], idle=(f"t{index}/turned",)) for index in inner}
    found = planned(graph, claims, width)
    spared = planned(graph, {name: replace(claim, scratch=0) for name, claim in claims.items()}, width)
    # The plan is greedy: fewer tensors may by bad luck take more.
    limit = max(static_bytes(one, width) for one in (in_place(graph).graph, spared.graph))
    assert static_bytes(found.graph, width) <= limit

    offsets = places(found.graph, width)
    for step in found.graph.steps:
        spans = sorted((offsets[name], found.graph.bytes(name, width)) for name in {*step.reads, *step.writes})
        assert all(begin + size <= after for (begin, size), (after, _) in itertools.pairwise(spans))


@given(st.integers(1, 500))
def test_rooms(inner: int) -> None:
    assert two_rows(inner) == 2 * 2 * inner
    assert two_positions(inner) - two_rows(inner) in range(2 * inner, 2 * inner + 4)
    assert (two_positions(inner) - two_rows(inner)) % 4 == 0
