"""Every analytic number of the paper's Table 1 and of the text around it (doi:10.1007/978-3-031-15074-6_11)."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from edgett.forms.site import CostModel, parse_layer
from edgett.forms.tt.shapes import count_solutions
from edgett.search.choices import EmptyTiles
from edgett.search.tiles import LayerSpace, joint, layer_space
from tests.conftest import Answer

RANKS = range(2, 13)
M, G = 10**6, 10**9


@functools.cache
def space(name: str, model: CostModel = CostModel.PAPER) -> LayerSpace:
    return layer_space(parse_layer(name), RANKS, model, 8)


@pytest.mark.parametrize(
    ("name", "paper", "exact"),
    [
        ("400x120", 27941, 26787),
        ("120x84", 5619, 4106),
        ("784x300", 52939, 53703),
        ("300x100", 4523, 4143),
        ("4536x100", 41337, 62580),
        ("2048x4096", 3618718, 3142734),
        ("4096x4096", 7176470, 6649297),
        ("4096x1000", 342050, 399578),
    ],
)
def test_each_layer_after_step_4(name: str, paper: int, exact: int) -> None:
    assert space(name).efficient == paper
    assert space(name, CostModel.EXACT).efficient == exact


@pytest.mark.parametrize(
    ("layers", "solutions"),
    [
        (["400x120", "120x84"], 1_528_997_866),
        (["784x300", "300x100"], 1_495_686_808),
        (["2048x4096"], 3_879_865),
        (["4096x4096"], 7_759_741),
        (["4096x1000"], 557_689),
        (["4536x100"], 128_458),
    ],
)
def test_solutions_in_full(layers: list[str], solutions: int) -> None:
    assert math.prod(space(name).solutions for name in layers) == solutions


def test_the_small_layer_in_the_totals_of_vgg16() -> None:
    assert (space("4096x10").solutions, space("4096x10").efficient) == (242, 39)


@pytest.mark.parametrize(
    ("layers", "solutions", "efficient"),
    [
        (["400x120", "120x84"], (1528, M), (157, M)),
        (["784x300", "300x100"], (1495, M), (239, M)),
        (["2048x4096", "4096x4096", "4096x10"], (7285832, G), (1012815, G)),
        (["4096x4096", "4096x1000"], (4327, G), (2454, G)),
        (["4536x100", "4536x100"], (16, G), (1708, M)),
    ],
    ids=["LeNet5", "LeNet300", "VGG16", "AlexNet", "Clock"],
)
def test_totals_as_printed(layers: list[str], solutions: tuple[int, int], efficient: tuple[int, int]) -> None:
    assert math.prod(space(name).solutions for name in layers) // solutions[1] == solutions[0]
    assert math.prod(space(name).efficient for name in layers) // efficient[1] == efficient[0]


@pytest.mark.parametrize(
    ("layers", "empty", "tiles", "points"),
    [
        (["400x120", "120x84"], EmptyTiles.SKIP, 39, 156),
        (["784x300", "300x100"], EmptyTiles.SKIP, 39, 156),
        (["2048x4096", "4096x4096"], EmptyTiles.SKIP, 36, 144),
        (["4096x4096", "4096x1000"], EmptyTiles.SKIP, 35, 140),
        (["4536x100", "4536x100"], EmptyTiles.NEAREST, 64, 256),
        (["4536x100", "4536x100"], EmptyTiles.SKIP, 39, 156),
    ],
    ids=["LeNet5", "LeNet300", "VGG16", "AlexNet", "Clock", "Clock-skip"],
)
def test_tiles_and_points(layers: list[str], empty: EmptyTiles, tiles: int, points: int) -> None:
    joined = joint([space(name) for name in layers], 8, empty)
    assert (joined.tiles, joined.points) == (tiles, points)
    assert 0 < len(joined.candidates) <= points


def test_252_million_solutions_of_lenet5_at_one_rank() -> None:
    shapes = [count_solutions(parse_layer(name), [2]) for name in ("400x120", "120x84", "84x10")]
    assert shapes == [7394, 1709, 20]
    assert math.prod(shapes) // M == 252


@pytest.fixture(scope="module")
def reproduce() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "reproduce.py"
    spec = importlib.util.spec_from_file_location("reproduce", path)
    assert spec and spec.loader
    module = sys.modules["reproduce"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("layers", "policy", "solutions", "efficient", "tiles"),
    [
        (["400x120", "120x84"], "skip", 1_528_997_866, 157_000_479, 39),
        (["784x300", "300x100"], "skip", 1_495_686_808, 239_443_097, 39),
        (["2048x4096", "4096x4096"], "skip", 3_879_865 * 7_759_741, 3_618_718 * 7_176_470, 36),
        (["4096x4096", "4096x1000"], "skip", 4_327_522_198_549, 2_454_711_563_500, 35),
        (["4536x100", "4536x100"], "nearest", 16_501_457_764, 1_708_747_569, 64),
    ],
    ids=["LeNet5", "LeNet300", "VGG16", "AlexNet", "Clock"],
)
def test_through_the_command_line(
    edgett: Callable[..., Answer], layers: list[str], policy: str, solutions: int, efficient: int, tiles: int
) -> None:
    sizes = [word for layer in layers for word in ("--layer", layer)]

    document = edgett("explore", *sizes, "--cost", "paper", "--empty-tiles", policy, "--json").document

    totals = document["totals"]
    assert (totals["solutions"], totals["efficient"]) == (solutions, efficient)
    assert (totals["shared_tiles"], totals["points"]) == (tiles, 4 * tiles)
    for layer in document["layers"]:
        known = space(layer["name"])
        assert (layer["solutions"], layer["efficient"]) == (known.solutions, known.efficient)
        assert layer["occupied_tiles"] == len(known.corners)


def test_the_tool_finds_every_number(reproduce: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert reproduce.main(["table1"]) == 0
    out = capsys.readouterr().out
    assert out.count("  ok") == 4 * 6 + 5
    assert "iffer" not in out and "DIFFER" not in out
    totals = ("1,528,997,866", "16,501,457,764", "1,708,747,569", "39,979,338")
    for number in (*totals, "914,672", "25,174,016", "6,649,297", "0.1%"):
        assert number in out


def test_the_tool_fails_on_a_difference(
    reproduce: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lenet = dataclasses.replace(reproduce.TABLE1[0], points=160, params=61_707)
    monkeypatch.setattr(reproduce, "TABLE1", (lenet,))
    assert reproduce.main(["table1"]) == 1
    out = capsys.readouterr().out
    assert out.count("differs") == 3
    assert "3 numbers differ" in out


def test_the_tool_fails_where_a_contradiction_is_gone(
    reproduce: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = {name: reproduce.network(name) for name in ("lenet5", "vgg16", "clock")}
    built["clock"] = dataclasses.replace(built["clock"], found=built["clock"].found[:2])
    monkeypatch.setattr(reproduce, "TABLE1", ())
    monkeypatch.setattr(reproduce, "network", built.__getitem__)
    assert reproduce.main(["table1"]) == 1
    assert "DIFFERS: Clock's FC layers" in capsys.readouterr().out
