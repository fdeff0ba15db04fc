"""What is advised where a run comes to nothing works: each cure that is printed is tried."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgett.job.job import Job
from edgett.search.constraints import Holding, Objective
from edgett.workflow import cures
from tests.conftest import Answer, Tiny

Call = Callable[..., Answer]

BASE = {
    "--target": "cortex-a53", "--ranks": "2:6", "--limit": "2", "--epochs": "1", "--batch-size": "64", "--jobs": "0",
    "--max-drop": "100", "--model-bytes": "100 %",
}  # fmt: skip

SICK: dict[str, tuple[dict[str, str | None], str]] = {
    "model bytes": ({"--model-bytes": "4 KiB"}, "--model-bytes"),
    "peak and FLOPs": ({"--peak": "300 B", "--flops": "400 FLOP"}, "--peak"),
    "type": ({"--model-bytes": "5 KiB"}, "--dtype"),
    "ranks": ({"--ranks": "6", "--flops": "2600 FLOP"}, "--ranks"),
    "search": ({"--ranks": "6", "--flops": "4 kFLOP"}, "--search"),
    "two at once": ({"--ranks": "12", "--model-bytes": "6 KiB"}, "--dtype int8 --ranks"),
    "multiples": ({"--search": "pareto", "--ranks": None, "--rank-multiple": "16", "--flops": "2 kFLOP"}, "--rank-m"),
    "share": ({"--share": "0.9", "--model-bytes": "12 KiB"}, "--share"),
    "only": ({"--only-layer": "digit", "--model-bytes": "12 KiB"}, "no --only-layer"),
    "skip": ({"--skip-layer": "wide", "--model-bytes": "12 KiB"}, "no --skip-layer"),
    "batch": ({"--batch": "32", "--peak": "2 KiB"}, "--batch"),
    "drop": ({"--limit": "1", "--max-drop": "0", "--model-bytes": "60 %"}, "--max-drop"),
}
"""Options with which nothing holds, and what is among the cures then."""


def words(options: dict[str, str | None]) -> list[str]:
    return [word for name, value in options.items() if value is not None for word in (name, value)]


def advised(cure: str) -> list[str]:
    """The cures that a message has."""
    found = re.fullmatch(r"This would do(?:, as far as can be told before training)?: (.*)\.", cure)
    assert found, cure
    return found[1].split("; or ")


def cured(options: dict[str, str | None], cure: str) -> dict[str, str | None]:
    """The options with a cure."""
    lexed = shlex.split(cure)
    while lexed:
        name, value = lexed[:2]
        options = options | ({value: None} if name == "no" else {name: value})
        lexed = lexed[2:]
    return options | ({"--ranks": None} if options.get("--search") == "pareto" else {})


LONG = ("two at once", "skip", "batch")
"""Of whose parts the others are."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sick", "kind"),
    [pytest.param(*case, id=name, marks=[pytest.mark.long] * (name in LONG)) for name, case in SICK.items()],
)
def test_what_is_advised_works(edgett: Call, tiny: Tiny, sick: dict[str, str | None], kind: str) -> None:
    command = ("compress", tiny.model, "--data", tiny.data, "--json", "--quiet")
    options = BASE | sick
    answer = edgett(*command, *words(options), "--out", "sick")
    assert answer.code == 4, answer.err

    found = advised(answer.document["error"]["cure"])
    assert any(kind in cure for cure in found), found
    for index, cure in enumerate(found):
        healed = edgett(*command, *words(cured(options, cure)), "--out", f"healed-{index}")
        assert healed.code == 0, (cure, healed.err)


@pytest.mark.slow
def test_every_budget_that_is_broken_is_named_and_the_layer_that_sets_the_peak(edgett: Call, tiny: Tiny) -> None:
    """Nothing is advised that does not help: ranks, other layers, a share."""
    options = BASE | {"--peak": "300 B", "--flops": "400 FLOP"}
    error = edgett("compress", tiny.model, "--data", tiny.data, *words(options), "--json").document["error"]
    assert error["code"] == 4
    assert "peak_activation_bytes and flops bind" in error["message"]
    assert "peak_activation_bytes 512 where the limit is 300: 212 over it; flops " in error["message"]
    assert "The peak is that of wide (Reshape)." in error["message"]
    assert advised(error["cure"]) == ["--peak '520 B' --flops '2600 FLOP'"]


@pytest.mark.slow
def test_a_model_without_fully_connected_layers(edgett: Call, tmp_path: Path) -> None:
    """No option is named that belongs to layers it does not have."""
    import numpy as np

    from edgett.model import ports

    keras = ports.keras
    layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 1), keras.layers.GlobalAveragePooling2D()]
    keras.Sequential(layers).save(tmp_path / "model.keras")
    arrays = {f"{kind}_{part}": np.zeros((20, *shape), np.float32) for part in ("train", "test")
              for kind, shape in (("x", (8, 8, 1)), ("y", (4,)))}  # fmt: skip
    np.savez(tmp_path / "data.npz", **arrays)
    command = ("compress", "model.keras", "--data", "data.npz", "-t", "cortex-a53", "--max-drop", "100", "--json")
    error = edgett(*command).document["error"]
    assert "no layer is worth factorising" in error["message"]
    (cure,) = advised(error["cure"])
    assert re.fullmatch(r"--model-bytes '\d+ B'", cure)
    assert edgett(*command, *shlex.split(cure), "--out", "healed").code == 0


class TestRaised:
    JOB = Job("cortex-m4")

    @pytest.mark.parametrize(
        ("name", "value", "option", "written"),
        [
            ("model_bytes", 10_168, "model_bytes", "11 KiB"),
            ("model_bytes", 950, "model_bytes", "980 B"),
            ("peak_activation_bytes", 11_000, "peak", "11 KiB"),
            ("peak_activation_bytes", 512, "peak", "520 B"),
            ("flops", 12_345_678, "flops", "13 MFLOP"),
            ("accuracy_drop_pp", 2.34, "max_drop", 2.4),
            ("accuracy_drop_pp", 2.0, "max_drop", 2.1),
        ],
    )
    def test_to_a_round_number_above(self, name: str, value: float, option: str, written: object) -> None:
        cure = cures.raised([Holding(name, 1, value, False)], self.JOB)
        assert cure is not None and cure.options == {option: written}
        assert getattr(cure.of(self.JOB), option) == written

    def test_not_above_what_the_device_has(self) -> None:
        assert cures.raised([Holding("peak_activation_bytes", 1, 10**9, False)], self.JOB) is None
        both = [Holding("flops", 1, 2, False), Holding("model_bytes", 1, 10**9, False)]
        assert cures.raised(both, self.JOB) is None

    def test_not_for_a_model_that_diverged(self) -> None:
        assert cures.raised([Holding("accuracy_drop_pp", 1, float("inf"), False)], self.JOB) is None
        assert cures.raised([], self.JOB) is None


def test_a_miss_is_told_to_the_byte() -> None:
    miss = Holding("model_bytes", 1_200_000, 1_234_567, False)
    assert cures._missed(miss, bare=False) == "model_bytes 1,234,567 where the limit is 1,200,000: 34,567 over it"
    assert cures._missed(miss, bare=True) == "1,234,567 where the limit is 1,200,000: 34,567 over it"


def test_cures_as_they_are_typed() -> None:
    assert str(cures.MEMORY) == "--objective memory"
    assert str(cures.Cure({"share": 0.0, "only_layer": (), "model_bytes": "9 KiB"})) == (
        "--share 0 no --only-layer --model-bytes '9 KiB'"
    )
    assert cures.MEMORY.of(TestRaised.JOB) == replace(TestRaised.JOB, objective=Objective.MEMORY)
