"""Targets on the screen and as documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Answer

Call = Callable[..., Answer]


def test_list(edgett: Call) -> None:
    names = [row["name"] for row in edgett("targets", "list", "--json").document["targets"]]

    assert {"cortex-a53", "cortex-m4", "host"} <= set(names)
    assert names == sorted(names)
    drawn = edgett("targets", "list").out
    assert all(name in drawn for name in names)


def test_show_explains_every_field(edgett: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    document = edgett("targets", "show", "cortex-m4", "--json").document

    assert document["name"] == "cortex-m4"
    assert len(document["fields"]) > 10 and document["sources"]
    assert all(set(field) == {"key", "value", "meaning", "origin"} for field in document["fields"])
    assert all(field["meaning"] for field in document["fields"])
    drawn = "".join(edgett("targets", "show", "cortex-m4").out.split())
    for field in document["fields"]:
        assert field["key"] in drawn
    for address in document["sources"].values():
        assert address in drawn


def test_show_of_an_unknown_one(edgett: Call) -> None:
    answer = edgett("targets", "show", "cortex-m5", "--json")

    assert answer.code == 3
    assert "cortex-m55" in answer.document["error"]["cure"]


def test_check_of_a_file_that_is_missing(edgett: Call) -> None:
    answer = edgett("targets", "check", "none.toml", "--json")

    assert answer.code == 3
    assert "none.toml" in answer.document["error"]["message"]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_nothing_is_cut_on_a_narrow_terminal(edgett: Call, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    document = edgett("targets", "show", "cortex-m4", "--json").document
    shown, listed = edgett("targets", "show", "cortex-m4").out, edgett("targets", "list").out

    assert max(map(len, (shown + listed).splitlines())) <= width
    assert "…" not in shown + listed
    letters = "".join(shown.split())
    assert all(address in letters for address in document["sources"].values())
    assert all(word in listed for word in ("cortex-m4", "Raspberry"))


def test_remarks_are_left_out_if_asked(edgett: Call) -> None:
    Path("targets").mkdir()
    Path("targets/broken.toml").write_text("name = ")

    assert "Left out" in edgett("targets", "list").err
    assert edgett("targets", "list", "--quiet").err == ""
