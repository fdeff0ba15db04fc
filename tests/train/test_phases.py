"""The epochs of a training from initial weights, and how far it has come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgett.errors import UsageError
from edgett.forms.tt.shape import TTShape
from edgett.train.phases import Checkpoint, Epochs, Phase

SO_FAR = Checkpoint(3, (0.5, 0.25, 0.125), {"dense": 1.5}, {"a/fc": TTShape((4, 6), (5, 4), (1, 4, 1))}, b"state\x00")


class TestEpochs:
    @given(st.integers(2, 60), st.integers(0, 60), st.integers(0, 60))
    def test_every_epoch_has_its_phase(self, epochs: int, dense: int, again: int) -> None:
        if dense + again >= epochs:
            with pytest.raises(UsageError, match="leave none for low rank"):
                Epochs.of(epochs, dense, again)
            return
        plan = Epochs.of(epochs, dense, again)
        assert [epoch for part in plan.phases.values() for epoch in part] == list(range(epochs))
        assert len(plan.phases[Phase.LOW_RANK]) == epochs - dense - again
        assert (Phase.DENSE in plan.phases, Phase.AGAIN in plan.phases) == (dense > 0, again > 0)
        for done in range(1, epochs + 1):
            assert done - 1 in plan.phases[plan.phase_of(done)], "it has trained the last of them"
        assert plan.phase_of(0) is next(iter(plan.phases))

    @pytest.mark.parametrize(("epochs", "dense"), [(2, 1), (5, 1), (6, 2), (10, 2), (11, 3)])
    def test_a_fifth_is_dense_first(self, epochs: int, dense: int) -> None:
        assert Epochs.of(epochs) == Epochs(epochs, dense)


class TestCheckpoint:
    def test_comes_back(self, tmp_path: Path) -> None:
        SO_FAR.save(tmp_path / "a.training", "ground")
        assert Checkpoint.load(tmp_path / "a.training", "ground") == SO_FAR
        assert [path.name for path in tmp_path.iterdir()] == ["a.training"]

    def test_of_another_training_is_refused(self, tmp_path: Path) -> None:
        SO_FAR.save(tmp_path / "a.training", "ground")
        with pytest.raises(UsageError, match="of another model, other data or other options"):
            Checkpoint.load(tmp_path / "a.training", "other")

    @pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04"])
    def test_what_is_none_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.training").write_bytes(content)
        with pytest.raises(UsageError, match="is no checkpoint"):
            Checkpoint.load(tmp_path / "a.training", "ground")

    def test_half_of_one_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.training"
        SO_FAR.save(path, "ground")
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(UsageError, match="is no checkpoint"):
            Checkpoint.load(path, "ground")

    def test_pickled_objects_are_not_loaded(self, tmp_path: Path) -> None:
        with (tmp_path / "a.training").open("wb") as file:
            np.savez(file, about=np.array([{}], dtype=object), state=np.zeros(1, np.uint8))
        with pytest.raises(UsageError, match="is no checkpoint"):
            Checkpoint.load(tmp_path / "a.training", "ground")
