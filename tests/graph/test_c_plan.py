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


def convolutions(*sizes: int) -> Graph:
    """Convolutions from "t0" on, one after the other."""
    names = [f"t{index}" for index in range(len(sizes))]
    steps = [Step("w", "Conv", (read,), (write,)) for read, write in itertools.pairwise(names)]
    return Graph(tuple(steps), dict(zip(names, sizes, strict=True)), ("t0",), (names[-1],))


def test_what_writes_late_does_where_most_is_alive_and_keeps_its_scratch() -> None:
    graph = convolutions(16, 512, 512, 128, 128, 16)
    claims = {"t2": Claim(32, 64, late=96), "t4": Claim(32, 64, late=96)}
    found = planned(graph, claims, 1)

    assert found.homes["t2"] == "t1", "two of 512 were most of all"
    assert found.graph.sizes[scratch_of("t2")] == 64 + 96
    assert found.homes["t4"] == "t4", "there is room for it beside the other"
    assert static_bytes(found.graph, 1) == 16 + 16 + 512 + 64 + 96


@pytest.mark.parametrize("late", [400, 600])
def test_no_scratch_is_taken_for_nothing(late: int) -> None:
    graph = convolutions(16, 512, 512, 16)
    found = planned(graph, {"t2": Claim(late=late)}, 1)

    assert (found.homes["t2"] == "t1") == (late < 512)
    assert static_bytes(found.graph, 1) == 16 + 16 + 512 + min(late, 512)


def test_a_place_is_as_large_as_the_largest_in_it() -> None:
    graph = convolutions(16, 96, 160, 64, 16)
    claims = {"t2": Claim(late=0), "t3": Claim(late=0)}
    found = planned(graph, claims, 1)

    assert {found.homes[f"t{index}"] for index in (1, 2, 3)} == {"t1"}
    assert found.graph.sizes["t1"] == 160
    assert static_bytes(found.graph, 1) == 16 + 16 + 160


def test_a_whole_chain_written_late_beats_its_parts() -> None:
    """One convolution alone would make a place larger that is alive for longer."""
    graph = convolutions(16, 192, 128, 192, 128, 192, 16)
    found = planned(graph, {f"t{index}": Claim(late=0) for index in range(2, 6)}, 1)

    assert static_bytes(found.graph, 1) == 16 + 16 + 192


@given(
    st.lists(st.integers(1, 300), min_size=3, max_size=7),
    st.lists(st.one_of(st.none(), st.integers(0, 100)), min_size=7, max_size=7),
    st.lists(st.booleans(), min_size=7, max_size=7), st.lists(st.integers(0, 6), max_size=3), st.sampled_from([1, 4]),
)  # fmt: skip
def test_nothing_alive_is_written_over(
    sizes: list[int], late: list[int | None], over: list[bool], kept: list[int], width: int
) -> None:
    """But by a step that may do so, whose operands begin at the same place."""
    graph = convolutions(*sizes)
    again = {f"t{index}" for index in kept if index < len(sizes)}
    last = Step("w", "Concat", (f"t{len(sizes) - 1}", *sorted(again)), ("y",))
    graph = replace(graph, steps=(*graph.steps, last), sizes={**graph.sizes, "y": 5}, outputs=("y",))
    claims = {}
    for index in range(1, len(sizes)):
        same = sizes[index] == sizes[index - 1]
        claims[f"t{index}"] = Claim(3, 40, over=same and over[index], late=late[index])
    found = planned(graph, claims, width)
    apart = planned(graph, {name: replace(claim, late=None) for name, claim in claims.items()}, width)
    assert static_bytes(found.graph, width) <= static_bytes(apart.graph, width)

    offsets = places(found.graph, width, without={"t0", "y"})
    spans = {}
    for name, size in graph.sizes.items():
        home = found.homes[name]
        begin = offsets.get(home, 10**6 + 10**4 * (name == "y"))
        assert size <= found.graph.sizes[home]
        spans[name] = begin, begin + size * width
    uses = {name: [i for i, step in enumerate(graph.steps) if name in (*step.reads, *step.writes)] for name in spans}
    for index, step in enumerate(graph.steps):
        alive = {name for name, used in uses.items() if used[0] <= index <= used[-1]}
        for one, other in itertools.combinations(sorted(alive), 2):
            (begin, end), (first, behind) = spans[one], spans[other]
            if begin < behind and first < end:
                assert {one, other} == {*step.reads[:1], *step.writes}
                assert uses[step.reads[0]][-1] == index
                assert begin == first
