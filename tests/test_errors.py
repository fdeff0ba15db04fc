"""The error tree: what is drawn is what there is."""

from __future__ import annotations

import re

import pytest

from edgett import errors
from edgett.errors import EdgettError

LEAVES = {
    "UsageError": 2, "InputError": 3, "ModelError": 3, "DataError": 3, "ProfileError": 3, "Infeasible": 4,
    "CheckFailed": 5, "ToolError": 6, "Interrupted": 130,
}  # fmt: skip


@pytest.mark.parametrize(("name", "code"), LEAVES.items())
def test_exit_codes_are_those_that_scripts_rely_on(name: str, code: int) -> None:
    kind = getattr(errors, name)

    assert issubclass(kind, EdgettError)
    assert kind.exit_code == code


def test_drawn_tree_is_complete() -> None:
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}

    assert classes == set(LEAVES) | {"EdgettError"}
    assert classes == set(re.findall(r"^[│├└─ ]*(\w+)", errors.__doc__ or "", re.MULTILINE)) & classes


def test_message_and_cure_are_kept_apart_and_told_together() -> None:
    error = errors.DataError("x_train is empty.", "Give a sample.")

    assert (error.message, error.cure, str(error)) == (
        "x_train is empty.", "Give a sample.", "x_train is empty. Give a sample.",
    )  # fmt: skip
    assert str(errors.ToolError("it broke.")) == "it broke."
