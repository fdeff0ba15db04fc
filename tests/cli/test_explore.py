"""`edgett explore`: exact integers, both cost models, both policies, layers by size and from models."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Answer, Tiny

Call = Callable[..., Answer]


def test_document(edgett: Call) -> None:
    document = edgett("explore", "--layer", "64x48", "--layer", "48x36", "--json").document

    assert set(document) == {"schema", "cost_model", "ranks", "grid", "empty_tiles", "layers", "totals"}
    assert (document["schema"], document["cost_model"], document["grid"]) == (1, "exact", 8)
    assert (document["ranks"], document["empty_tiles"]) == (list(range(2, 13)), "skip")
    assert [layer["name"] for layer in document["layers"]] == ["64x48", "48x36"]
    first = document["layers"][0]
    assert set(first) == {
        "name", "inputs", "outputs", "params", "flops", "excluded", "solutions", "efficient", "occupied_tiles",
    }  # fmt: skip
    assert (first["inputs"], first["outputs"], first["excluded"]) == (64, 48, None)
    assert (first["params"], first["flops"]) == (64 * 48 + 48, 2 * 64 * 48 + 48)
    totals = document["totals"]
    assert set(totals) == {"solutions", "efficient", "shared_tiles", "points", "joint_candidates"}
    for name in ("solutions", "efficient"):
        assert totals[name] == math.prod(layer[name] for layer in document["layers"])
    assert totals["points"] == 4 * totals["shared_tiles"]
    assert 0 < totals["joint_candidates"] <= totals["points"]


def test_integers_are_exact_however_large(edgett: Call) -> None:
    layers = ["--layer", "4096x4096"] * 5

    document = edgett("explore", *layers, "--ranks", "4,8", "--json").document

    one = document["layers"][0]["solutions"]
    assert isinstance(one, int)
    assert document["totals"]["solutions"] == one**5 > 2**53


def test_paper_costs_differ_and_are_labelled(edgett: Call) -> None:
    exact = edgett("explore", "--layer", "512x256", "--json").document
    paper = edgett("explore", "--layer", "512x256", "--json", "--cost", "paper").document

    assert paper["cost_model"] == "paper"
    assert paper["layers"][0]["solutions"] == exact["layers"][0]["solutions"]
    assert paper["layers"][0]["efficient"] != exact["layers"][0]["efficient"]


def test_empty_tiles(edgett: Call) -> None:
    skip, nearest = (
        edgett("explore", "--layer", "64x48", "--layer", "48x36", "--empty-tiles", policy, "--json").document
        for policy in ("skip", "nearest")
    )

    assert skip["totals"]["shared_tiles"] <= min(layer["occupied_tiles"] for layer in skip["layers"])
    assert nearest["totals"]["shared_tiles"] == 8 * 8
    assert nearest["layers"] == skip["layers"]


@pytest.mark.parametrize(("ranks", "values"), [("2:5", [2, 3, 4, 5]), ("2:9:3", [2, 5, 8]), ("4,8,16", [4, 8, 16])])
def test_ranks(edgett: Call, ranks: str, values: list[int]) -> None:
    assert edgett("explore", "--layer", "64x48", "--ranks", ranks, "--json").document["ranks"] == values


@pytest.mark.parametrize(
    ("layer", "told"), [("0x4", "size of 0"), ("64", "joined by an x"), ("64x4x2", "joined by an x"), ("axb", "'axb'")]
)
def test_layer_that_is_none(edgett: Call, layer: str, told: str) -> None:
    answer = edgett("explore", "--layer", layer, "--json")

    assert answer.code == 2
    assert told in answer.document["error"]["message"]


def test_layer_that_cannot_be_factorised_is_told_with_its_reason(edgett: Call) -> None:
    answer = edgett("explore", "--layer", "17x13", "--json")

    assert answer.code == 0
    assert "prime" in answer.document["layers"][0]["excluded"]
    assert answer.document["totals"]["solutions"] == answer.document["totals"]["joint_candidates"] == 0
    drawn = edgett("explore", "--layer", "17x13").out
    assert "none" in drawn and "prime" in drawn


def test_model_file_with_layers_left_alone(edgett: Call, tiny: Tiny) -> None:
    document = edgett("explore", tiny.model, "--json").document

    layers = {layer["name"]: layer for layer in document["layers"]}
    assert [*layers][:1] + [*layers][-1:] == ["wide", "digit"]
    assert layers["wide"]["excluded"] is None
    assert "7.0% of the parameters" in layers["digit"]["excluded"]
    assert layers["digit"]["solutions"] == 0
    assert edgett("explore", tiny.model, "--share", "0.01", "--json").document["layers"][-1]["excluded"] is None
    only = edgett("explore", tiny.model, "--only-layer", "digit", "--json").document
    assert [layer["excluded"] is None for layer in only["layers"]] == [False, False, True]
    skipped = edgett("explore", tiny.model, "--skip-layer", "wide", "--json").document
    assert "--skip-layer" in skipped["layers"][0]["excluded"]


def test_layer_and_model_exclude_each_other(edgett: Call, tiny: Tiny) -> None:
    assert edgett("explore", tiny.model, "--layer", "64x48").code == 2


def test_drawn_for_a_person(edgett: Call) -> None:
    answer = edgett("explore", "--layer", "64x48")

    assert answer.code == 0
    for word in ("64x48", "3,120", "6,192", "3,072", "solutions", "efficient", "joint candidates"):
        assert word in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_project_file_is_read(edgett: Call) -> None:
    Path("edgett.toml").write_text('ranks = "3,6"\nempty_tiles = "nearest"\n')

    document = edgett("explore", "--layer", "64x48", "--grid", "4", "--json").document

    assert (document["ranks"], document["empty_tiles"], document["grid"]) == ([3, 6], "nearest", 4)
