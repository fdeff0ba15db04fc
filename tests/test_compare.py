"""The tool that compares the searches, on results made up here."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgett.forms.site import Layer
from edgett.forms.window import Window


@pytest.fixture(scope="module")
def compare() -> ModuleType:
    path = Path(__file__).parents[1] / "tools" / "compare.py"
    sys.path.insert(0, str(path.parent))  # as where it is run
    spec = importlib.util.spec_from_file_location("compare", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules["compare"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(compare: ModuleType, search: str, seed: int, params: int, flops: int, drop: float) -> dict[str, Any]:
    about = {"network": "lenet300", "seed": seed, "search": search, "solution": params, "epochs": 3}
    costs = {"params": params, "flops": flops, "dense_params": 1000, "dense_flops": 2000}
    return about | costs | {"baseline": 0.98, "drop": drop} | dict.fromkeys(compare.MEASURED, drop + params / 1000000.0)


@pytest.fixture
def results(compare: ModuleType, tmp_path: Path) -> Path:
    rows = [
        row(compare, search, seed, params + seed, flops, drop + better)
        for search, better in (("grid", 0.5), ("largest-cut", 0.0))
        for seed in (0, 1, 2)
        for params, flops, drop in ((20, 900, 3.0), (90, 250, 1.2), (150, 190, 1.4), (400, 1000, 0.0))
    ]
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in rows), encoding="utf-8")
    return path


def test_tables_and_picture(
    compare: ModuleType, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "search.svg"
    compare.show(results, picture)
    out = capsys.readouterr().out
    assert "| whole space | 4 | 3 (3 .. 3) | -90.9 (-91.0 .. -90.8) % | -90.5 (-90.5 .. -90.5) % | +0.00" in out
    assert "| grid (the paper's) | 4 | 1 (1 .. 1) | -59.9 (-60.0 .. -59.8) % | -50.0" in out
    assert "| whole space | - | 3.00 (3.00 .. 3.00) | 3.00 (3.00 .. 3.00) | 1.20" in out
    assert "| -log(1 - that) (what chooses among the candidates) | 1.00 (1.00 .. 1.00) | 1.00" in out
    assert "accuracy against parameters" in picture.read_text(encoding="utf-8")


def test_what_is_known_is_not_trained_again(compare: ModuleType, results: Path) -> None:
    keys = [compare._key(item) for item in compare._rows(results)]
    assert len(set(keys)) == len(keys) == 24
    assert list(compare._rows(results.with_name("none.jsonl"))) == []


@pytest.fixture(scope="module")
def practice(compare: ModuleType) -> ModuleType:
    return sys.modules["practice"]


@pytest.mark.parametrize("rank", [1, 4, 9])
def test_variational_bayes_finds_the_rank_under_noise(practice: ModuleType, rank: int) -> None:
    random = np.random.default_rng(rank)
    signal = random.normal(size=(48, rank)) @ random.normal(size=(rank, 90))
    for matrix in (signal, signal.T):
        assert practice.vbmf_rank(matrix + 0.2 * random.normal(size=matrix.shape)) == rank


def test_variational_bayes_finds_nothing_in_noise(practice: ModuleType) -> None:
    assert practice.vbmf_rank(np.random.default_rng(0).normal(size=(60, 80))) == 1


def test_common_practice_is_the_largest_that_fits(practice: ModuleType) -> None:
    layers = {
        "a": Layer("a", 72, 16, bias=False, positions=64, window=Window((3, 3), (8, 8))),
        "b": Layer("b", 16, 16, bias=False, positions=64, window=Window((1, 1), (8, 8))),
    }
    random = np.random.default_rng(0)
    weights = {path: random.normal(size=(layer.inputs, layer.outputs)) for path, layer in layers.items()}
    dense = sum(weight.size for weight in weights.values())

    def left(edits: Any) -> int:
        return sum(edits[path].params if path in edits else weights[path].size for path in layers)

    def fits(some: Any) -> Any:
        return next((edits for edits in some if left(edits) <= 0.6 * dense), None)

    network = practice.Network(layers, weights, fits, lambda path, spec: spec.params / weights[path].size)
    for method, choose in practice.PRACTICE.items():
        edits = choose(network)
        assert edits is not None and 0.3 * dense < left(edits) <= 0.6 * dense, method


def test_what_tells_the_drop(compare: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A proxy that orders as the drop does has 1, one that orders the other way round -1."""
    proxies = sys.modules["compare_proxies"]
    about = {"model": "net", "epochs": 1, "params": 1, "flops": 1}
    rows = [
        about
        | {"seed": seed, "solution": k, "after": k + seed / 10}
        | dict.fromkeys(proxies.PROXIES, -k)
        | {"loss": k**2}
        for seed in (0, 1, 2)
        for k in range(5)
    ]
    rows += [row | {"epochs": 3, "after": -row["after"]} for row in rows]
    path = tmp_path / "proxies.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in rows), encoding="utf-8")
    proxies.show(path)
    out = capsys.readouterr().out
    assert "| net, epochs: 1 | net, epochs: 3 |" in out
    assert "| measured loss | 1.00 (1.00 .. 1.00) | -1.00 (-1.00 .. -1.00) |" in out
    assert "| measured drop | -1.00 (-1.00 .. -1.00) | 1.00 (1.00 .. 1.00) |" in out


def test_robustness_is_told_by_size_and_method_and_drawn(
    compare: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"clean": 0.98, "fgsm": 0.5, "pgd": 0.25, "thorough": 0.24, "seconds": 3.0}
    about = {"model": "lenet300", "epsilon": 0.1, "epochs": 3}
    rows = [
        about | {"share": share, "seed": seed, "method": method, "params": int(1000 * share)} | figures
        | {"pgd": 0.25 + seed / 100 + (0.5 if method == "adversarial" else 0)}
        for share in (1, 0.2) for seed in (0, 1, 2) for method in ("distill", "adversarial")
    ]  # fmt: skip
    results, picture = tmp_path / "robust.jsonl", tmp_path / "robust.svg"
    others = [rows[0] | {"epsilon": 0.3, "params": 77}]
    results.write_text("".join(json.dumps(item) + "\n" for item in rows + others), encoding="utf-8")
    compare.robust(results, "nowhere.npz", "lenet300", "1,0.2", 0.1, 3, 3, picture)  # all of it is there
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and not any(line.startswith("| 77 ") for line in lines)
    assert "| 200 | adversarial | 98.0 (98.0 .. 98.0) | 50.0 (50.0 .. 50.0) | 76.0 (75.0 .. 77.0) |" in lines[5]
    assert "with adversarial recovery" in picture.read_text(encoding="utf-8")
