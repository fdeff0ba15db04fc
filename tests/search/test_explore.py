"""Joint candidates as solutions: the shapes that are exported."""

from __future__ import annotations

import functools
from collections.abc import Collection

from edgett.forms.site import CostModel, Layer
from edgett.forms.tt.cost import exact_flops, lighter, merged, peak
from edgett.forms.tt.shape import TTShape
from edgett.graph.graph import Constant, Graph, Step
from edgett.search.explore import Costing, dense_solution, smaller, solutions
from edgett.search.solution import Candidate
from edgett.search.tiles import layer_space


def dense(names: Collection[str] = ()) -> Graph:
    kernel, bias = Constant("kernel", 784 * 300), Constant("bias", 300)
    macs = 784 * 300
    step = Step("fc", "Dense", ("x",), ("y",), (kernel, bias), 2 * macs + 300, macs)
    return Graph((step,), {"x": 784, "y": 300}, ("x",), ("y",))


def candidates() -> list[Candidate]:
    corners = layer_space(Layer("fc", 784, 300), (2, 4, 8, 12), CostModel.EXACT, 8).corners.values()
    shapes = dict.fromkeys(corner.shape for tile in corners for corner in tile)
    return [Candidate({"fc": shape}) for shape in shapes]


def test_shapes_are_merged_where_nothing_gets_larger() -> None:
    given = candidates()
    made = solutions(given, dense)
    shorter = 0
    for candidate, solution in zip(given, made, strict=True):
        before, after = lighter(candidate.edits["fc"]), solution.edits["fc"]
        assert after in (before, merged(before))
        assert after.params <= before.params and peak(after) <= peak(before)
        assert exact_flops(after) <= exact_flops(before)
        assert solution.cost.params == after.params + 300
        shorter += after.length < before.length
    assert 0 < shorter < len(made)


def narrow(inputs: int, outputs: int) -> Graph:
    """One layer in int8."""
    count = inputs * outputs
    step = Step("fc", "Dense", ("x",), ("y",), (Constant("kernel", count, 1),), 2 * count, count)
    return Graph((step,), {"x": inputs, "y": outputs}, ("x",), ("y",))


def test_what_takes_no_fewer_bytes_is_no_candidate() -> None:
    """Nothing of a small layer in int8, whose cores have fewer parameters; most of a large one."""
    for size, some in (((42, 20), False), ((784, 300), True)):
        graph, costing = narrow(*size), Costing(width=1)
        corners = layer_space(Layer("fc", *size), (2, 4, 8, 12), CostModel.EXACT, 8).corners.values()
        given = [Candidate({"fc": shape}) for shape in dict.fromkeys(c.shape for tile in corners for c in tile)]
        whole = functools.partial(_same, graph)
        assert given and all(item.cost.params < size[0] * size[1] for item in solutions(given, whole, costing))
        kept = smaller(given, whole, costing)
        assert bool(kept) is some
        assert all(item.file_bytes < costing.file_bytes(graph) for item in solutions(kept, whole, costing))


def _same(graph: Graph, names: Collection[str]) -> Graph:
    return graph


def test_no_two_solutions_are_alike() -> None:
    wide, whole = TTShape((2, 2, 196), (2, 2, 75), (1, 4, 12, 1)), TTShape((4, 196), (4, 75), (1, 12, 1))
    assert merged(lighter(wide)) == lighter(whole)
    for given in ([wide, whole], [whole, wide]):
        made = [item.edits["fc"] for item in solutions([Candidate({"fc": shape}) for shape in given], dense)]
        assert made == [lighter(shape) for shape in given]
    assert [item.edits["fc"] for item in solutions([Candidate({"fc": wide})], dense)] == [lighter(whole)]


def test_the_dense_model_is_a_solution_without_shapes() -> None:
    solution = dense_solution(dense())
    assert not solution.edits and solution.number == -1 and solution.cost.params == 784 * 300 + 300
