"""What is refused to be packed, with the cure; what is packed is in tests/cli/test_firmware.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgett.device import local
from edgett.errors import Infeasible
from edgett.workflow import pack
from tests.conftest import Answer, Finished

Call = Callable[..., Answer]


class TestRefused:
    def test_samples_that_are_not_finite_are_told(self, edgett: Call, finished: Finished, tmp_path: Path) -> None:
        """Not that the model is at fault, though its outputs are not finite either."""
        copy = Path(shutil.copytree(finished.path, tmp_path / "run"))
        with np.load(copy / "artifacts" / "samples.npz") as stored:
            samples = {name: np.full_like(array, np.nan) for name, array in stored.items()}
        np.savez(copy / "artifacts" / "samples.npz", **samples)
        answer = edgett("firmware", "pack", copy, "--out", "place")
        assert answer.code == 3 and not Path("place").exists()
        assert "the validation samples are not all finite: no self-test can be made of them." in answer.err
        assert answer.err.splitlines()[-1] == "Mend the data."

    def test_outputs_that_are_not_finite_are_told(
        self, edgett: Call, finished: Finished, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Diverged:
            @staticmethod
            def run(path: Path, inputs: Any, batch: int) -> Any:
                return {name: array / np.float32(0) for name, array in local.run(path, inputs, batch).items()}

        monkeypatch.setattr(pack, "local", Diverged)
        with np.errstate(divide="ignore", invalid="ignore"):
            answer = edgett("firmware", "pack", finished.path, "--out", "place")
        assert answer.code == 6 and not Path("place").exists()
        assert "the model's outputs are not all finite: no self-test can be made of them." in answer.err
        assert answer.err.splitlines()[-1] == "Train it again."

    def test_a_solution_that_is_not_what_was_predicted_is_refused(
        self, edgett: Call, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of one that was not picked, and is exported now."""
        copy = Path(shutil.copytree(finished.path, tmp_path / "run"))
        content = json.loads((copy / "run.json").read_text())
        pick = content["outcome"]["picks"]["recommended"]
        content["outcome"]["picks"] = dict.fromkeys(content["outcome"]["picks"], pick)
        (copy / "run.json").write_text(json.dumps(content))
        number = min({trial["solution"] for trial in finished.document["trials"]} - {pick["solution"]})

        def differs(path: Path, number: int, suffixes: list[str], folder: Path, batch: int) -> Any:
            return {"artifacts": {f"solution-{number}.onnx": {"ok": False}}}

        monkeypatch.setattr(pack.reexport, "export", differs)
        monkeypatch.setattr(pack.reexport, "exported", "solution-{}".format)
        answer = edgett("firmware", "pack", copy, "--out", "place", "--solution", number)
        assert answer.code == 5 and not Path("place").exists()
        assert f"solution-{number}.onnx of the run in {copy} is not what was predicted." in answer.err
        assert answer.err.splitlines()[-1] == "Do not deploy it."


class TestOverTheBudget:
    """What the sources really take counts, and not what was predicted of a file."""

    @pytest.mark.parametrize(
        ("sizes", "name"),
        [
            ({"weight_bytes": 1_500, "ram_bytes": 9}, "model_bytes"),
            ({"model_bytes": 1_500, "arena_bytes": 9}, "model_bytes"),
            ({"ram_bytes": 1_500, "workspace_bytes": 9, "weight_bytes": 9}, "peak_activation_bytes"),
            ({"arena_bytes": 1_500, "arena_head_bytes": 9, "model_bytes": 9}, "peak_activation_bytes"),
        ],
    )
    def test_it_is_told_by_how_much(self, sizes: dict[str, int], name: str) -> None:
        budgets = [{"name": each, "limit": 1_200} for each in ("model_bytes", "peak_activation_bytes")]
        with pytest.raises(Infeasible) as raised:
            pack._refuse_over(sizes, budgets)
        assert raised.value.message == f"the sources take 1,500 bytes, 300 more than {name} allows (1,200)."
        assert raised.value.cure == "Pack a smaller --solution, or make a run anew whose budget allows as much."

    def test_what_just_fits_and_what_has_no_limit(self) -> None:
        pack._refuse_over({"weight_bytes": 1_200}, [{"name": "model_bytes", "limit": 1_200}])
        pack._refuse_over({"weight_bytes": 1_200}, [{"name": "model_bytes", "limit": None}])
        pack._refuse_over({"ram_bytes": 1_200}, [{"name": "flops", "limit": 1}])
