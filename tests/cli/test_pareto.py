"""`--search pareto` on the command line: `explore` and `compress`, what they refuse, and a run's whole life."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgett.cli import run
from edgett.forms import catalogue, cost
from edgett.forms.site import Layer
from edgett.forms.tt.order import Order
from edgett.forms.tt.shape import TTShape
from tests.conftest import EASY, Answer, Finished, Tiny

Call = Callable[..., Answer]
PARETO = ("--search", "pareto", "--share", "0.1")
GRID = ("--search", "grid")
PICKS = ("highest_accuracy", "lowest_memory", "lowest_flops", "recommended")


def explore(edgett: Call, tiny: Tiny, *options: object) -> dict[str, Any]:
    answer = edgett("explore", tiny.model, *PARETO, *options, "--json")
    assert answer.code == 0, answer.err
    return answer.document


def kernel(tiny: Tiny, index: int) -> np.ndarray:
    from edgett.model.models import load_model

    return np.asarray(load_model(tiny.model).layers[index].get_weights()[0])


def trains(rows: list[dict[str, Any]]) -> list[TTShape]:
    """The tensor trains of a front."""
    return [spec for spec in (catalogue.read(row["spec"]) for row in rows) if isinstance(spec, TTShape)]


@pytest.fixture(scope="module")
def document(tiny: Tiny) -> dict[str, Any]:
    """What `explore` says of the tiny model; do not write into it."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        assert run(["explore", str(tiny.model), *PARETO, "--json"]) == 0
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def test_document(document: dict[str, Any]) -> None:
    assert set(document) == {
        "schema", "search", "cost_model", "rank_multiple", "max_rank", "estimate", "layers", "totals",
    }  # fmt: skip
    assert (document["schema"], document["search"], document["cost_model"]) == (2, "pareto", "exact")
    assert (document["rank_multiple"], document["max_rank"], document["estimate"]) == (4, 64, "largest-cut")
    assert [layer["name"] for layer in document["layers"]][0::2] == ["wide", "digit"]
    for layer in document["layers"]:
        assert set(layer) == {
            "name", "inputs", "outputs", "positions", "params", "flops", "excluded",
            "solutions", "undominated", "epsilon", "front",
        }  # fmt: skip
        assert layer["undominated"] == len(layer["front"])
        assert layer["epsilon"] == 0
    digit = document["layers"][-1]
    assert "7.0% of the parameters" in digit["excluded"]
    assert (digit["solutions"], digit["front"]) == (0, [])
    totals = document["totals"]
    assert set(totals) == {"solutions", "undominated", "joint_candidates", "epsilon"}
    taken = [layer for layer in document["layers"] if layer["excluded"] is None]
    assert totals["solutions"] == math.prod(layer["solutions"] for layer in taken)
    assert totals["undominated"] == totals["joint_candidates"] > 0
    assert totals["epsilon"] == 0


def test_fronts_hold_what_the_shapes_cost_and_lose(document: dict[str, Any], tiny: Tiny) -> None:
    weight = kernel(tiny, 0)
    layer = document["layers"][0]
    rows = layer["front"]
    for row in rows:
        assert set(row) == {"spec", "params", "flops", "peak_elements", "moved_elements", "loss", "error"}
        spec = catalogue.read(row["spec"])
        costs = cost.held(Layer("wide", 64, 48), spec)
        numbers = costs.params, costs.flops, costs.peak_elements, costs.moved_elements
        assert (row["params"], row["flops"], row["peak_elements"], row["moved_elements"]) == numbers
        assert all(type(row[name]) is int for name in ("params", "flops", "peak_elements", "moved_elements"))
        assert row["params"] < layer["params"] and row["flops"] < layer["flops"]
        low, estimate, high = (row["error"][name] for name in ("low", "estimate", "high"))
        assert 0 <= low <= estimate <= high <= 1
        assert row["loss"] == pytest.approx(-math.log1p(-(low**2)), rel=1e-5)
        assert (
            low - 2e-6 <= np.linalg.norm(spec.dense(spec.best(weight)) - weight) / np.linalg.norm(weight) <= high + 2e-6
        )
    assert all(shape.order is Order.LAST_FIRST for shape in trains(rows))
    assert {row["spec"]["form"] for row in rows} == {"tt", "svd"}
    points = np.array([(row["params"], row["flops"], row["loss"]) for row in rows])
    beaten = [((points <= row).all(axis=1) & (points < row).any(axis=1)).any() for row in points]
    assert not any(beaten)
    assert [tuple(row) for row in points] == sorted(tuple(row) for row in points)


def test_ranks_are_multiples_or_what_the_bond_holds(edgett: Call, tiny: Tiny) -> None:
    document = explore(edgett, tiny, "--rank-multiple", "3", "--max-rank", "7")

    assert (document["rank_multiple"], document["max_rank"]) == (3, 7)
    for shape in trains([row for layer in document["layers"] for row in layer["front"]]):
        for k, rank in enumerate(shape.ranks[1:-1], 1):
            cells = math.prod(shape.inputs[:k]) * math.prod(shape.outputs[:k])
            assert rank in (3, 6, min(cells, math.prod(shape.matrix) // cells))


def test_kept_energy(edgett: Call, tiny: Tiny, document: dict[str, Any]) -> None:
    other = explore(edgett, tiny, "--estimate", "kept-energy")

    assert other["estimate"] == "kept-energy"
    assert other["layers"][0]["solutions"] == document["layers"][0]["solutions"]
    for row in other["layers"][0]["front"]:
        assert row["loss"] == pytest.approx(-math.log1p(-(row["error"]["estimate"] ** 2)), rel=1e-6)


def test_thin(edgett: Call, tiny: Tiny, document: dict[str, Any]) -> None:
    thin = explore(edgett, tiny, "--thin", "8")

    assert thin["totals"] == document["totals"]
    for less, layer in zip(thin["layers"], document["layers"], strict=True):
        assert less["undominated"] == len(less["front"]) <= 8
        assert less["solutions"] == layer["solutions"]
        assert (less["epsilon"] > 0) == (less["undominated"] < layer["undominated"])
        for row in layer["front"]:
            assert any(
                all(one[name] <= row[name] * (1 + less["epsilon"]) * (1 + 1e-9) for name in ("params", "flops", "loss"))
                for one in less["front"]
            )


@pytest.mark.parametrize(("option", "name"), [("--max-peak", "peak_elements"), ("--max-moved", "moved_elements")])
def test_bounds(edgett: Call, tiny: Tiny, document: dict[str, Any], option: str, name: str) -> None:
    front = document["layers"][0]["front"]
    values = sorted(row[name] for row in front)
    most = (values[0] + values[-1]) // 2

    bounded = explore(edgett, tiny, option, most)["layers"][0]["front"]

    assert bounded
    assert max(row[name] for row in bounded) <= most < values[-1]
    assert all(row in bounded for row in front if row[name] <= most)


def test_bounds_that_nothing_keeps(edgett: Call, tiny: Tiny) -> None:
    document = explore(edgett, tiny, "--max-peak", "1")

    assert document["totals"] == {"solutions": 0, "undominated": 0, "joint_candidates": 0, "epsilon": 0.0}
    assert "inside the bounds" in document["layers"][0]["excluded"]
    answer = edgett("explore", tiny.model, *PARETO, "--max-peak", "1")
    assert answer.code == 0
    assert "none" in answer.out and "inside the bounds" in " ".join(answer.out.split())


def test_a_layer_without_an_efficient_solution_still_counts_its_solutions(edgett: Call, tiny: Tiny) -> None:
    digit = explore(edgett, tiny, "--only-layer", "digit", "--rank-multiple", "8", "--max-rank", "8")["layers"][-1]

    assert digit["front"] == []
    assert digit["solutions"] > 0
    assert f"none of its {digit['solutions']} solutions" in digit["excluded"]


def test_drawn_for_a_person(edgett: Call, tiny: Tiny, document: dict[str, Any]) -> None:
    answer = edgett("explore", tiny.model, *PARETO)

    assert answer.code == 0
    flat = " ".join(answer.out.split())
    wide, totals = document["layers"][0], document["totals"]
    for words in (
        "64x48", "undominated", f"{wide['solutions']:,}", f" {wide['undominated']} ",
        f"{totals['solutions']:,} solutions, ranks in multiples of 4 up to 64;",
        f"{totals['undominated']} undominated ones of all layers together",
        f"for which {totals['joint_candidates']} candidates stand.",
        "left alone: digit (36x10)",
    ):  # fmt: skip
        assert words in flat
    assert max(map(len, answer.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((*PARETO, "--cost", "exact"), "--cost belongs to --search grid"),
        ((*PARETO, "--ranks", "2:4"), "--ranks belongs to --search grid, this is pareto"),
        ((*PARETO, "--grid", "8"), "--grid belongs to --search grid, this is pareto"),
        ((*PARETO, "--empty-tiles", "skip"), "--empty-tiles belongs to --search grid, this is pareto"),
        ((*GRID, "--rank-multiple", "4"), "--rank-multiple belongs to --search pareto, this is grid"),
        ((*GRID, "--max-rank", "64"), "--max-rank belongs to --search pareto, this is grid"),
        ((*GRID, "--estimate", "kept-energy"), "--estimate belongs to --search pareto, this is grid"),
        ((*GRID, "--thin", "8"), "--thin belongs to --search pareto"),
        ((*GRID, "--max-peak", "1"), "--max-peak belongs to --search pareto"),
        ((*GRID, "--max-moved", "1"), "--max-moved belongs to --search pareto"),
        ((*GRID, "--max-moved", "0"), "--max-moved belongs to --search pareto"),
        ((*PARETO, "--rank-multiple", "65"), "No rank is a multiple of 65 and at most 64."),
        ((*PARETO, "--rank-multiple", "0"), "A rank multiple of 0 is below 1."),
        ((*PARETO, "--rank-multiple", "-4"), "A rank multiple of -4 is below 1."),
        ((*PARETO, "--max-rank", "0"), "at most 0"),
        ((*PARETO, "--max-rank", "5000"), "--max-rank 5000 is above 1024."),
        ((*PARETO, "--thin", "7"), "--thin"),
        ((*PARETO, "--max-peak", "0"), "--max-peak"),
        ((*PARETO, "--max-moved", "-1"), "--max-moved"),
        ((*PARETO, "--estimate", "luck"), "'luck' is not one of 'kept-energy', 'largest-cut'"),
        (("--search", "luck"), "'luck' is not one of 'grid', 'pareto'"),
        ((*PARETO, "--only-layer", "nobody"), "no layer to factorise named 'nobody'"),
    ],
)
def test_refused(edgett: Call, tiny: Tiny, options: tuple[str, ...], told: str) -> None:
    answer = edgett("explore", tiny.model, *options, "--json")

    assert answer.code == 2, answer.err
    assert told in answer.document["error"]["message"]
    assert answer.document["error"]["cure"]


def test_layers_by_size_have_no_weights(edgett: Call) -> None:
    answer = edgett("explore", "--layer", "64x48", "--search", "pareto", "--json")

    assert answer.code == 2
    assert "without weights only --search grid explores it" in answer.document["error"]["message"]


def test_weights_that_are_not_finite(edgett: Call, tiny: Tiny) -> None:
    from edgett.model.models import load_model

    model = load_model(tiny.model)
    weights = model.get_layer("wide").get_weights()
    weights[0][0, 0] = np.nan
    model.get_layer("wide").set_weights(weights)
    model.save("nan.keras")

    answer = edgett("explore", "nan.keras", *PARETO, "--json")

    assert answer.code == 3
    message = answer.document["error"]["message"]
    assert message == "weight 'kernel' of layer 'wide' has 1 of 3,072 values that are NaN or infinite."


def test_project_file(edgett: Call, tiny: Tiny) -> None:
    Path("edgett.toml").write_text(
        'search = "pareto"\nrank_multiple = 2\nmax_rank = 6\nestimate = "largest-cut"\nranks = "2:4"\n'
    )

    document = edgett("explore", tiny.model, "--json").document

    assert (document["search"], document["estimate"]) == ("pareto", "largest-cut")
    assert (document["rank_multiple"], document["max_rank"]) == (2, 6)
    # What the file says of the other search is kept for that.
    assert edgett("explore", tiny.model, "--search", "grid", "--json").document["ranks"] == [2, 3, 4]
    answer = edgett("explore", tiny.model, "--grid", "4", "--json")
    assert answer.code == 2
    assert "--grid belongs to --search grid, this is pareto" in answer.document["error"]["message"]


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ('search = "luck"', 3, "search"),
        ("search = 1", 3, "search"),
        ('estimate = "luck"', 3, "estimate"),
        ("rank_multiple = 0", 3, "rank_multiple"),
        ('max_rank = "8"', 3, "max_rank"),
        ("max_rank = 5000", 2, "5000 is above 1024"),
        ("rank_multiple = 65", 2, "No rank is a multiple of 65"),
    ],
)
def test_project_file_with_a_wrong_value(edgett: Call, tiny: Tiny, line: str, code: int, told: str) -> None:
    Path("edgett.toml").write_text(f"{line}\n")

    answer = edgett("explore", tiny.model, *PARETO, "--json")

    assert answer.code == code
    assert told in answer.document["error"]["message"]


ASKED = ("--target", "cortex-a53", *PARETO, "--epochs", "1", "--batch-size", "64")


@pytest.fixture(scope="module")
def compressed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run of `compress --search pareto` that found its picks; `check` and `export` may write into it."""
    path = tmp_path_factory.mktemp("runs") / "pareto"
    out, err = io.StringIO(), io.StringIO()
    options = [str(tiny.model), "--data", str(tiny.data), *ASKED, "--limit", "3", *EASY, "--out", str(path), "--json"]
    with contextlib.chdir(tiny.model.parent), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["compress", *options])
    assert code == 0, err.getvalue()
    return Finished(path, json.loads(out.getvalue()), err.getvalue())


def test_compress(compressed: Finished, document: dict[str, Any]) -> None:
    found = compressed.document

    assert (found["search"], found["estimate"]) == ("pareto", "largest-cut")
    assert found["totals"] == document["totals"]
    assert [layer["solutions"] for layer in found["layers"]] == [layer["solutions"] for layer in document["layers"]]
    assert list(found["funnel"]) == [
        "layers", "layers_taken", "solutions", "undominated", "joint_candidates", "within_budgets", "fine_tuned",
        "feasible",
    ]  # fmt: skip
    funnel = list(found["funnel"].values())
    assert funnel[:2] == [3, 2]
    assert funnel[2:] == sorted(funnel[2:], reverse=True)
    assert funnel[-2:] == [3, 3]
    assert found["check"]["ok"] is True
    assert all(found["picks"][name] for name in PICKS)
    for trial in found["trials"]:
        assert 0 <= trial["solution"] < found["totals"]["joint_candidates"]
        assert trial["params"] < found["baseline"]["params"]
    assert json.loads((compressed.path / "run.json").read_text())["options"]["search"] == {
        "value": "pareto", "from": "command line",
    }  # fmt: skip


def test_resume_of_the_finished_run(edgett: Call, compressed: Finished) -> None:
    answer = edgett("compress", "--out", compressed.path, "--resume", *PARETO, "--json")

    assert answer.code == 0
    assert answer.document == compressed.document
    shown = " ".join(edgett("compress", "--out", compressed.path, "--resume").out.split())
    for words in ("undominated", "that no other one beats in memory, FLOPs and expected error", "6 fine-tuned 3"):
        assert words in shown


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--search", "grid"), "search was pareto, now grid"),
        (("--max-rank", "32"), "max_rank was 64, now 32"),
        (("--rank-multiple", "8"), "rank_multiple was 4, now 8"),
        (("--estimate", "kept-energy"), "estimate was largest-cut, now kept-energy"),
    ],
)
def test_resume_refuses_another_search(edgett: Call, compressed: Finished, option: tuple[str, str], told: str) -> None:
    answer = edgett("compress", "--out", compressed.path, "--resume", *option)

    assert answer.code == 2
    assert told in answer.err


def test_check_and_export_of_a_solution_with_a_layer_left_dense(edgett: Call, compressed: Finished) -> None:
    partly = [trial for trial in compressed.document["trials"] if len(trial["edits"]) == 1]
    assert partly, "the spread no longer takes a solution with a dense layer: take more trials"
    trial = partly[0]

    answer = edgett("export", compressed.path, "--solution", trial["solution"], "--json", "--out", "exported")

    assert answer.code == 0, answer.err
    assert answer.document["ok"] is True
    for item in answer.document["artifacts"].values():
        for name in ("params", "flops"):
            assert item[name] == {"predicted": trial[name], "found": trial[name]}
    again = edgett("check", compressed.path, "--json")
    assert again.code == 0
    assert again.document == compressed.document["check"]


@pytest.mark.slow
def test_nothing_inside_the_budget_names_the_nearest_miss(edgett: Call, tiny: Tiny) -> None:
    answer = edgett(
        "compress", tiny.model, "--data", tiny.data, *ASKED, "--model-bytes", "1 KiB", "--out", "run", "--json"
    )

    assert answer.code == 4
    found = answer.document
    assert found["trials"] == []
    assert found["nearest_miss"]["constraint"] == "model_bytes"
    assert found["funnel"]["within_budgets"] == 0 < found["funnel"]["joint_candidates"]
    assert "model_bytes binds" in found["error"]["message"]
    assert "--ranks" not in found["error"]["cure"]  # it belongs to the grid


def test_compress_refuses_what_belongs_to_the_grid(edgett: Call, tiny: Tiny) -> None:
    for option in (("--ranks", "2:4"), ("--grid", "4"), ("--empty-tiles", "nearest")):
        answer = edgett("compress", tiny.model, "--data", tiny.data, *ASKED, *option, "--out", "run", "--json")
        assert answer.code == 2
        assert f"{option[0]} belongs to --search grid, this is pareto" in answer.document["error"]["message"]
        assert not Path("run").exists()
