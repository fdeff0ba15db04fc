"""Inputs in batches."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edgett.model.stream import BATCH, stream


@pytest.mark.parametrize("rows", [None, np.arange(0, 600, 2)])
def test_batches_make_up_all_that_is_asked_for_whenever_it_is(rows: np.ndarray | None) -> None:
    x = {"a": np.arange(600), "b": np.arange(1200).reshape(600, 2)}
    found = stream(x, rows)
    wanted = x if rows is None else {name: array[rows] for name, array in x.items()}
    for _ in range(2):
        parts = list(found.batches())
        assert found.count == sum(len(part["a"]) for part in parts) and all(len(p["a"]) <= BATCH for p in parts)
        for name, array in wanted.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), array)
    assert stream(found) is found


def test_no_more_than_two_batches_are_in_memory() -> None:
    x = {"a": np.zeros((16 * BATCH, 1024), np.float32)}
    tracemalloc.start()
    count = sum(len(part["a"]) for part in stream(x, np.arange(16 * BATCH)).batches())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 16 * BATCH
    assert most < 2.5 * BATCH * 1024 * 4  # the one that is made while the last is still held, and the loop's own
