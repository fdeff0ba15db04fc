"""`edgett explore --plot`"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Answer, Tiny
from tests.report.test_picture import shown

Call = Callable[..., Answer]
SIZES = ("--layer", "64x48", "--layer", "48x36")


def test_svg(edgett: Call) -> None:
    plain = edgett("explore", *SIZES, "--json")
    answer = edgett("explore", *SIZES, "--json", "--plot", "space.svg")

    assert (answer.code, answer.out) == (0, plain.out)
    assert "The plot is in space.svg." in answer.err and "counting solutions" in answer.err
    text = shown(Path("space.svg").read_bytes())
    for layer in answer.document["layers"]:
        assert f"{layer['name']}: {layer['solutions']:,} solutions" in text
        assert f"{layer['efficient']:,} efficient, {layer['occupied_tiles']} of 64 tiles" in text


@pytest.mark.parametrize(("name", "start"), [("space.png", b"\x89PNG"), ("space.html", b"<!DOCTYPE html>")])
def test_other_formats(edgett: Call, tmp_path: Path, name: str, start: bytes) -> None:
    answer = edgett("explore", "--layer", "36x24", "--cost", "paper", "--quiet", "--plot", tmp_path / name)

    assert (answer.code, answer.err) == (0, "")
    assert (tmp_path / name).read_bytes().startswith(start)


def test_layers_of_a_model(edgett: Call, tiny: Tiny) -> None:
    answer = edgett("explore", tiny.model, "--ranks", "2:4", "--plot", "space.svg")

    assert answer.code == 0
    text = shown(Path("space.svg").read_bytes())
    assert "wide (64x48)" in text and "left alone: digit (36x10)" in text


def test_convolutions_by_size(edgett: Call) -> None:
    sizes = ("--layer", "3x3x8x8@4x4", "--layer", "1x1x8x8@4x4", "--search", "pareto", "--json")
    answer = edgett("explore", *sizes, "--plot", "forms.svg")

    assert (answer.code, answer.out) == (0, edgett("explore", *sizes).out)
    text = shown(Path("forms.svg").read_bytes())
    for layer in answer.document["layers"]:
        assert f"{layer['name']}: {layer['efficient']} smaller and cheaper of {layer['solutions']} solutions" in text
    for form in ("TT", "SVD", "spatial SVD", "CP", "channel SVD", "Tucker-2", "dense"):
        assert form in text.split("\n")


def test_pareto_sets_of_a_model(edgett: Call, tiny: Tiny) -> None:
    command = (
        "explore",
        tiny.model,
        "--data",
        tiny.data,
        "--search",
        "pareto",
        "--share",
        "0.1",
        "--max-rank",
        "8",
        "--json",
    )
    plain = edgett(*command)
    answer = edgett(*command, "--plot", "front.svg")

    assert (answer.code, answer.out) == (0, plain.out)
    assert "The plot is in front.svg." in answer.err and "counting" not in answer.err
    text = shown(Path("front.svg").read_bytes())
    layers, totals = answer.document["layers"], answer.document["totals"]
    taken = [layer for layer in layers if layer["excluded"] is None]
    assert len(taken) == 2
    for layer in taken:
        size = f"{layer['inputs']}x{layer['outputs']}"
        assert f"{layer['name']} ({size}): {layer['undominated']} undominated of {layer['solutions']:,}" in text
    assert f"together: {totals['undominated']} undominated, {totals['joint_candidates']} candidates" in text
    assert "multiples of 4 up to 8" in text and "left alone: digit (36x10)" in text


@pytest.mark.parametrize(
    ("name", "told"),
    [("space.pdf", "'.pdf'"), ("space", "no suffix"), ("nowhere/space.svg", "'nowhere/space.svg' cannot be written")],
)
def test_a_place_that_cannot_be_is_told_before_anything_is_explored(edgett: Call, name: str, told: str) -> None:
    answer = edgett("explore", *SIZES, "--json", "--plot", name)

    assert answer.code == 2
    assert told in answer.err and "exploring" not in answer.err
    assert answer.document["error"]["kind"] == "UsageError" and answer.document["error"]["cure"]


def test_without_it_nothing_is_loaded_to_draw_with() -> None:
    code = (
        "import sys, edgett.cli; edgett.cli.run(['explore', '--layer', '64x48', '--quiet', '--json'])\n"
        "assert not {'matplotlib', 'plotly'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
