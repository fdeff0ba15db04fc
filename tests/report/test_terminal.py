"""What a person reads, at the widths of terminals."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from rich.console import Console, RenderableType

from edgett.report import checks, terminal
from tests.conftest import Finished


def drawn(draw: Callable[[Mapping[str, Any]], RenderableType], document: Mapping[str, Any], width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(draw(document))
    return out.getvalue()


@pytest.fixture
def document(finished: Finished) -> dict[str, Any]:
    return copy.deepcopy(finished.document) | {"run": "runs/tiny-cortex-a53-1"}


def big(document: dict[str, Any]) -> dict[str, Any]:
    """The figures of a large network."""
    for model in (document["baseline"], *document["picks"].values()):
        model |= {"params": 39_980_000, "flops": 332_480_000, "macs": 166_240_000}
        model["artifacts"]["tflite"]["bytes"] = 159_930_000
    return document


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("size", [lambda document: document, big], ids=["tiny", "large"])
def test_numbers_stay_in_one_piece(document: dict[str, Any], width: int, size: Callable[..., dict[str, Any]]) -> None:
    text = drawn(terminal.compressed, size(document), width)

    assert max(map(len, text.splitlines())) <= width
    for model in (document["baseline"], *document["picks"].values()):
        for name in ("params", "flops", "macs", "peak_activation_bytes"):
            assert f"{model[name]:,}" in text


def test_every_output_is_shown_with_its_metric(document: dict[str, Any]) -> None:
    for model in (document["baseline"], *document["picks"].values()):
        for name in ("accuracy", "test_accuracy"):
            model[name] = [{"output": output, "metric": "accuracy", "value": 0.5} for output in ("hour", "minute")]

    text = drawn(terminal.compressed, document)

    assert all(f"{output}: accuracy, {part}" in text for output in ("hour", "minute") for part in ("val.", "test"))


def test_verdicts(document: dict[str, Any]) -> None:
    document["constraints"] = [
        {"name": "model_bytes", "limit": 2048, "value": 1024, "holds": True},
        {"name": "latency_ms", "limit": 2.5, "value": None, "holds": None},
        {"name": "accuracy_drop_pp", "limit": 1.5, "value": 3.25, "holds": False},
    ]

    lines = drawn(terminal.compressed, document).splitlines()

    assert any(line.split() == ["model_bytes", "2,048", "1,024", "holds"] for line in lines)
    assert any(line.split() == ["latency_ms", "2.50", "not", "checked"] for line in lines)
    assert any(line.split() == ["accuracy_drop_pp", "1.50", "3.25", "broken"] for line in lines)


def test_what_differs_is_told(document: dict[str, Any]) -> None:
    path, item = next(iter(document["check"]["artifacts"].items()))
    item |= {
        "ok": False,
        "verdict": "differs",
        "mismatches": ["baseline.tflite, layer wide, FLOPs: predicted 10, found 11"],
    }
    item["flops"] = {"predicted": 10, "found": 11}
    item["partial"] = ["SIN"]
    item["numerics"]["l2_relative"] = None

    text = drawn(checks.check, document["check"])

    for words in (
        "10 != 11",
        "differs",
        "layer wide, FLOPs: predicted 10, found 11",
        "no rule counts SIN",
        "not finite",
    ):
        assert words in text
    assert path.removeprefix("artifacts/") in text


def test_channels_that_are_gone_are_told_once_a_solution(document: dict[str, Any]) -> None:
    assert "is without" not in drawn(terminal.compressed, document)
    some = {"solution": 7, "removed": {"wide": 1200, "dense": 3}}
    document["picks"]["recommended"] |= some
    document["picks"]["lowest_memory"] |= some
    document["picks"]["highest_accuracy"] |= {"solution": 8, "removed": {"wide": 1}}

    text = " ".join(drawn(terminal.compressed, document).split())

    assert text.count("Solution 7 is without 1,203 channels: wide 1,200, dense 3.") == 1
    assert "Solution 8 is without a channel: wide 1." in text


def test_markup_in_names_is_text(document: dict[str, Any]) -> None:
    document["layers"][0]["name"] = "[red]fc[/]"
    document["layers"][-1]["name"] = "[bold]"
    document["target"]["title"] = "[link]"
    document["run"] = "runs/[odd]"

    text = drawn(terminal.compressed, document)

    assert "[red]fc[/]" in text and "left alone: [bold]" in text and "[link]" in text and "runs/[odd]/" in text


def test_equal_picks_share_their_files(document: dict[str, Any]) -> None:
    document["artifacts"] = {"baseline": ["a/b.tflite"]} | {name: ["a/r.tflite"] for name in document["picks"]}

    text = drawn(terminal.compressed, document)

    assert text.count("a/r.tflite") == 1
    assert "highest accuracy, lowest memory, lowest FLOPs, recommended:" in text


def test_what_no_rule_counts_is_on_the_first_line(document: dict[str, Any]) -> None:
    """And no share is told of what is not known, nor a time."""
    document["partial"] = ["LSTM (rnn)"]
    for model in (document["baseline"], *document["picks"].values()):
        model["at_least"] = ["flops"]
    document["constraints"] = [
        {"name": "flops", "limit": None, "value": 1200, "holds": None, "at_least": True},
    ]
    for item in document["check"]["artifacts"].values():
        item |= {"partial": ["LSTM (rnn)"], "verdict": "partial", "plan_bytes": 4321}
        item["peak_bytes"] = {"predicted": None, "found": 4300}

    lines = drawn(terminal.compressed, document).splitlines()

    assert lines[0].startswith("Partial: no rule counts LSTM (rnn).")
    (flops,) = [line for line in lines if line.startswith("FLOPs")]
    dense = document["baseline"]["flops"]
    assert flops.split()[1:3] == [">=", f"{dense:,}"] and "%" not in lines[lines.index(flops) + 1]
    assert not any(line.startswith("time, ") for line in lines)
    assert any(line.split() == ["flops", "unknown", ">=", "1,200", "not", "checked"] for line in lines)
    (baseline,) = [line for line in lines if line.startswith("baseline.tflite") and "4,321" in line]
    assert baseline.split()[-4:] == ["4,321", "read", "back", "partial"]
    assert drawn(checks.check, document["check"]).startswith("Partial: no rule counts LSTM (rnn).")


def test_a_pick_that_breaks_the_budget_on_the_test_data_is_told(document: dict[str, Any]) -> None:
    (item,) = [item for item in document["constraints"] if item["name"] == "accuracy_drop_pp"]
    item["limit"] = 1.5
    pick = document["picks"]["recommended"] | {"test_drop": 1.5004, "test_holds": False}
    document["picks"]["recommended"] = pick
    document["remarks"] = ["the data have no labels"]

    text = " ".join(drawn(terminal.compressed, document).split())

    assert f"On the test data solution {pick['solution']} (recommended" in text
    assert "has a drop of 1.5004 points, over the budget of 1.5" in text
    assert "Note: the data have no labels" in text


def test_outputs_that_agree_by_chance_are_told_and_those_without_classes_show_none(document: dict[str, Any]) -> None:
    path, item = next(iter(document["check"]["artifacts"].items()))
    item["ok"] = item["numerics"]["ok"] = False
    item["numerics"] |= {"top1_agreement": None, "blind": "output 'y' is off by 1.00 times what Keras's varies by"}

    lines = drawn(checks.check, document["check"]).splitlines()

    name = path.removeprefix("artifacts/")
    assert any(line.startswith(f"{name}: output 'y' is off by 1.00 times") for line in lines)
    (row,) = [
        line.split() for line in lines if line.startswith(f"{name} ") and line.endswith("differs") and "e-" in line
    ]
    assert not any(cell.endswith("%") for cell in row)


def test_what_does_not_decide_is_shown_beside_what_does(document: dict[str, Any]) -> None:
    for model in (document["baseline"], *document["picks"].values()):
        for key in ("accuracy", "test_accuracy"):
            extra = {"output": "digit", "metric": "recall", "value": 0.25, "decides": False}
            model[key] = [*model[key], extra]

    text = drawn(terminal.compressed, document)

    assert "recall, val." in text and "recall, test" in text and "0.2500" in text


def test_instructions_are_a_row_and_the_objective(document: dict[str, Any]) -> None:
    for model, number in ((document["baseline"], 279_510), (document["picks"]["recommended"], 326_540)):
        model["instructions"] = number
    document["picks"] = dict.fromkeys(document["picks"], document["picks"]["recommended"])
    document |= {"objective": "latency", "why_dense": None, "slower_than_dense": {"wide": 3}}

    text = " ".join(drawn(terminal.compressed, document, 160).split())

    assert "instructions, predicted 279,510 326,540" in text and "+16.8 %" in text
    assert "1.17 times the instructions of the dense one" in text
    assert "wide stays dense in 3 candidates, as its low-rank form is predicted to take more instructions" in text
    assert "the best in instructions" in text
