"""`edgett explore`: exact integers, both cost models, both policies, layers by size and from models."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from edgett.forms import catalogue, cost
from edgett.forms.site import parse_layer
from tests.conftest import Answer, Tiny

Call = Callable[..., Answer]
GRID = ("--search", "grid")


def test_document(edgett: Call) -> None:
    document = edgett("explore", "--layer", "64x48", "--layer", "48x36", "--json").document

    assert set(document) == {"schema", "search", "cost_model", "ranks", "grid", "empty_tiles", "layers", "totals"}
    assert (document["schema"], document["search"], document["cost_model"], document["grid"]) == (2, "grid", "exact", 8)
    assert (document["ranks"], document["empty_tiles"]) == (list(range(2, 13)), "skip")
    assert [layer["name"] for layer in document["layers"]] == ["64x48", "48x36"]
    first = document["layers"][0]
    assert set(first) == {
        "name", "inputs", "outputs", "positions", "params", "flops", "excluded",
        "solutions", "efficient", "occupied_tiles",
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
    assert document["totals"]["solutions"] == one**5 > 2**64
    assert document["totals"]["efficient"] == document["layers"][0]["efficient"] ** 5 > 2**64


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


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ("1x9", "1 has no factors"),
        ("2x2", "2 is prime"),
        ("3x8", "3 is prime"),
        ("4x4", "none of its 11 solutions is smaller and cheaper than dense"),
        ("97x48", "97 is prime"),
        ("65536x65536", "4294967296 weights, more than the 268435456 that can be explored"),
    ],
)
def test_layer_without_an_efficient_solution_is_told_and_the_others_explored(
    edgett: Call, size: str, reason: str
) -> None:
    document = edgett("explore", "--layer", size, "--layer", "64x48", "--json").document

    left, taken = document["layers"]
    assert reason in left["excluded"]
    assert (left["efficient"], left["occupied_tiles"]) == (0, 0)
    assert taken["excluded"] is None
    assert document["totals"]["efficient"] == taken["efficient"] > 0
    assert reason in " ".join(edgett("explore", "--layer", size).out.split())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--ranks", "0:3"), "0 is below 1"),
        (("--ranks", "-1:3"), "-1 is below 1"),
        (("--ranks", "4,2"), "2 follows 4"),
        (("--ranks", "4,4"), "4 follows 4"),
        (("--ranks", "5:2"), "from 5 to 2"),
        (("--ranks", "1:100000"), "more than the 4096"),
        (("--grid", "0"), "greater than or equal to 1"),
        (("--grid", "100000"), "at most 256 a side"),
    ],
)
def test_ranks_and_grids_that_cannot_be(edgett: Call, options: tuple[str, str], told: str) -> None:
    answer = edgett("explore", "--layer", "64x48", *options, "--json")

    assert answer.code == 2
    assert told in answer.document["error"]["message"]


def test_convolutions_by_size(edgett: Call) -> None:
    sizes = ("--layer", "3x3x8x12@5x6", "--layer", "1x1x2x2@5x6")
    document = edgett("explore", *sizes, "--search", "pareto", "--rank-multiple", "2", "--json").document

    assert set(document) == {"schema", "search", "cost_model", "rank_multiple", "layers", "totals"}
    assert (document["search"], document["cost_model"], document["rank_multiple"]) == ("pareto", "exact", 2)
    layer, none = document["layers"]
    assert set(layer) == {
        "name", "inputs", "outputs", "positions", "window", "params", "flops", "excluded",
        "solutions", "efficient", "space",
    }  # fmt: skip
    assert layer["name"] == layer["window"] == "3x3x8x12@5x6"
    assert (layer["inputs"], layer["outputs"], layer["positions"]) == (72, 12, 30)
    assert (layer["params"], layer["flops"]) == (72 * 12 + 12, 30 * (2 * 72 * 12 + 12))
    assert layer["efficient"] == len(layer["space"]) <= layer["solutions"]
    for row in layer["space"]:
        spec = catalogue.read(row["spec"])
        held = cost.held(parse_layer("3x3x8x12@5x6"), spec)
        assert (row["params"], row["flops"], row["peak_elements"]) == (held.params, held.flops, held.peak_elements)
    forms = Counter(row["spec"]["form"] for row in layer["space"])
    assert set(forms) == {"spatial_svd", "cp", "channel_svd", "tucker2", "tt_conv"}
    assert none["excluded"] == "no chain of smaller convolutions is smaller" and none["space"] == []
    assert document["totals"] == {"solutions": layer["solutions"], "efficient": layer["efficient"]}

    drawn = edgett("explore", *sizes, "--search", "pareto", "--rank-multiple", "2").out
    for title, form in (("Tucker-2", "tucker2"), ("spatial SVD", "spatial_svd")):
        (row,) = [line.split() for line in drawn.splitlines() if line.startswith(title)]
        params = [point["params"] for point in layer["space"] if point["spec"]["form"] == form]
        assert row[len(title.split()) :][:4] == [f"{forms[form]}", f"{min(params):,}", "to", f"{max(params):,}"]
    assert "left alone: 1x1x2x2@5x6" in drawn


def test_layers_by_size_are_explored_by_the_search_that_takes_them(edgett: Call) -> None:
    Path("edgett.toml").write_text('search = "pareto"\n')
    assert edgett("explore", "--layer", "64x48", "--ranks", "4", "--json").document["search"] == "grid"
    Path("edgett.toml").write_text('search = "grid"\n')
    assert edgett("explore", "--layer", "1x1x8x8@2x2", "--json").document["search"] == "pareto"


def test_peak_bounds_convolutions_by_size(edgett: Call) -> None:
    size = ("--layer", "3x3x8x12@5x6", "--search", "pareto", "--json")
    free, bound = (edgett("explore", *size, *more).document["layers"][0] for more in ((), ("--max-peak", "480")))

    assert bound["space"] == [row for row in free["space"] if row["peak_elements"] <= 480]
    assert 0 < bound["efficient"] < free["efficient"]


@pytest.mark.parametrize(
    ("options", "told", "cure"),
    [
        (("3x3x64x64",), "without its image", "3x3x64x64@8x8"),
        (("3x3x64x0@8x8",), "size of 0", "3x3x64x64@8x8"),
        (("3x3x64x64@9999x9999",), "99980001 pixels, more than the 16777216", "Give the image"),
        (("5x5x64x64@2x2",), "5 rows over an image of 2", "at most 3 rows"),
        (("3x3x8x8@4x4", "--search", "grid"), "3x3x8x8@4x4 is a convolution", "--search pareto"),
        (("3x3x8x8@4x4", "--layer", "64x48"), "64x48 is fully connected", "--search grid"),
        (("3x3x8x8@4x4", "--cost", "paper"), "--cost belongs to --search grid", "search by grid"),
        (("3x3x8x8@4x4", "--ranks", "2:4"), "--ranks belongs to --search grid", "--search grid"),
        (("3x3x8x8@4x4", "--thin", "9"), "--thin means nothing to --layer", "explore a model"),
        (("3x3x8x8@4x4", "--estimate", "kept-energy"), "--estimate means nothing to --layer", "explore a model"),
        (("3x3x8x8@4x4", "--max-rank", "8"), "--max-rank 8 is for tensor trains", "--max-peak"),
        (("64x48", "--data", "mnist"), "--data means nothing to --layer", "explore a model"),
        (("64x48", "--skip-layer", "fc"), "--skip-layer means nothing to --layer", "explore a model"),
    ],
)
def test_sizes_and_options_that_do_not_go_together(
    edgett: Call, options: tuple[str, ...], told: str, cure: str
) -> None:
    answer = edgett("explore", "--layer", *options, "--json")

    assert answer.code == 2
    assert told in answer.document["error"]["message"] and cure in answer.document["error"]["cure"]


def test_model_file_with_layers_left_alone(edgett: Call, tiny: Tiny) -> None:
    document = edgett("explore", tiny.model, *GRID, "--json").document

    layers = {layer["name"]: layer for layer in document["layers"]}
    assert [*layers][:1] + [*layers][-1:] == ["wide", "digit"]
    assert layers["wide"]["excluded"] is None
    assert "7.0% of the parameters" in layers["digit"]["excluded"]
    assert layers["digit"]["solutions"] == 0
    assert edgett("explore", tiny.model, *GRID, "--share", "0.01", "--json").document["layers"][-1]["excluded"] is None
    only = edgett("explore", tiny.model, *GRID, "--only-layer", "digit", "--json").document
    assert [layer["excluded"] is None for layer in only["layers"]] == [False, False, True]
    skipped = edgett("explore", tiny.model, *GRID, "--skip-layer", "wide", "--json").document
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


def test_every_layer_with_weights_is_listed_with_why_it_stays(edgett: Call, tmp_path: Path) -> None:
    from edgett.model import ports

    keras = ports.keras
    kit = keras.layers
    words, picture = keras.Input((8, 4), name="words"), keras.Input((8, 8, 1), name="picture")
    index = keras.Input((3,), name="index")
    flat = kit.Flatten()(kit.BatchNormalization(name="norm")(kit.Conv2D(4, 3, name="conv")(picture)))
    parts = [kit.LSTM(6, name="lstm")(words), kit.Dense(64, name="fc")(flat)]
    parts += [kit.Flatten()(kit.TimeDistributed(kit.Dense(3, name="inner"), name="each")(words))]
    rows = kit.Flatten()(kit.Embedding(9, 2, name="rows")(index))
    joined = kit.Concatenate()([*parts, rows])
    end = kit.Dense(2, name="end")(kit.SeparableConv1D(2, 3, name="apart")(kit.Reshape((-1, 1))(joined))[:, 0])
    model = keras.Model([words, picture, index], end)
    model.save(tmp_path / "model.keras")

    plain = edgett("explore", "model.keras", *GRID, "--json").document
    layers = {layer["name"]: layer for layer in plain["layers"]}
    params = {layer.name: layer.count_params() for layer in model.layers if layer.weights}
    assert {name: layer["params"] for name, layer in layers.items() if "kind" in layer} == {
        name: params[name] for name in ("conv", "norm", "lstm", "rows", "apart")
    }
    for name, kind, why in (
        ("conv", "Conv2D", "a convolution: only --search pareto has forms for it"),
        ("apart", "SeparableConv1D", "a convolution"), ("lstm", "LSTM", "a recurrent layer"),
        ("norm", "BatchNormalization", "a normalisation"), ("rows", "Embedding", "a table"),
    ):  # fmt: skip
        assert set(layers[name]) == {"name", "kind", "params", "excluded"}
        assert layers[name]["kind"] == kind and why in layers[name]["excluded"]
    order = [name for name in layers if name in ("conv", "norm", "fc", "apart", "end")]
    assert order == ["conv", "norm", "fc", "apart", "end"]
    assert "cannot open" in layers["each/inner" if "each/inner" in layers else "inner"]["excluded"]
    assert plain["totals"]["solutions"] == layers["fc"]["solutions"] > 0

    told = " ".join(edgett("explore", "model.keras", *GRID).out.split())
    assert "left alone: conv (Conv2D, 40): a convolution: only --search pareto has forms for it" in told
    assert "apart (SeparableConv1D, " in told and "a convolution for which there is no form" in told
