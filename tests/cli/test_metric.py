"""`--metric` and data without labels, as they are asked for on the command line and in edgett.toml."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import EASY, Answer, Tiny

Call = Callable[..., Answer]


def small(tiny: Tiny, **more: object) -> list[str]:
    """Two quick trials in a worker process."""
    arguments = [
        str(tiny.model),
        "--target",
        "cortex-a53",
        "--ranks",
        "2:6",
        "--limit",
        "2",
        "--epochs",
        "1",
        "--jobs",
        "1",
    ]
    return [*arguments, *EASY, *(str(part) for name, value in more.items() for part in (f"--{name}", value))]


@pytest.fixture
def mine(tmp_path: Path) -> None:
    (tmp_path / "their_own.py").write_text(
        "import their_part\n"
        "def worst_class(y, p):\n"
        "    return min((p.argmax(-1)[y == c] == c).mean() for c in their_part.classes(y))\n"
    )
    (tmp_path / "their_part.py").write_text("import numpy as np\ndef classes(y):\n    return np.unique(y)\n")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["option", "file"])
def test_a_function_of_the_working_directory_judges_in_workers_too(
    edgett: Call, tiny: Tiny, mine: None, place: str
) -> None:
    more = {"metric": "their_own:worst_class:max"} if place == "option" else {}
    if place == "file":
        Path("edgett.toml").write_text('metric = "their_own:worst_class"\n')

    answer = edgett("compress", *small(tiny, data=tiny.data, **more), "--out", "run", "--json")

    assert answer.code == 0, answer.err
    document = answer.document
    assert document["judged_by"] == "worst_class, drop in % of the baseline"
    for model in (document["baseline"], *document["trials"]):
        decides, shown = model["accuracy"]
        assert (decides["metric"], decides["decides"], shown["metric"]) == ("worst_class", True, "accuracy")
        assert 0 <= decides["value"] <= shown["value"]
    base = document["baseline"]["accuracy"][0]["value"]
    for trial in document["trials"]:
        assert trial["drop"] == pytest.approx(100 * (1 - trial["accuracy"][0]["value"] / base))

    Path("their_own.py").write_text("def worst_class(y, p):\n    return 1.0\n")
    sys.modules.pop("their_own", None)
    changed = edgett("compress", "--out", "run", "--resume", "--quiet")
    assert changed.code == 0  # finished: it tells its outcome, whatever is there now


@pytest.mark.slow
def test_inputs_alone_go_all_the_way_in_int8(edgett: Call, tiny: Tiny) -> None:
    np.savez("bare.npz", x_train=tiny.arrays()["x_train"])

    answer = edgett("compress", *small(tiny, data="bare.npz", dtype="int8"), "--out", "run", "--json")

    assert answer.code == 0, answer.err
    assert answer.document["judged_by"] == "digit: agreement, drop in percentage points"
    assert "have no labels" in answer.err
    assert {score["metric"] for score in answer.document["picks"]["recommended"]["test_accuracy"]} == {"agreement"}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("a:b:c", "--metric a:b:c is no metric"),
        ("recal", "--metric recal: the model was not compiled with it"),
        ("nowhere:f", "--metric nowhere:f cannot be imported"),
    ],
)
def test_a_metric_that_is_not_there_is_a_wrong_usage(edgett: Call, tiny: Tiny, metric: str, message: str) -> None:
    answer = edgett("compress", *small(tiny, data=tiny.data, metric=metric), "--out", "run")
    assert answer.code == 2 and message in answer.err
    assert not Path("run").exists()
