"""`--augment` as it is asked for on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from tests.conftest import EASY, Answer, Tiny

Call = Callable[..., Answer]

NOISY = "def noisy(x, random):\n    return (x + 0.2 * random.normal(size=x.shape)).astype(x.dtype)\n"


def asked(tiny: Tiny, augment: str, *more: str) -> tuple[str, ...]:
    return "compress", *tiny.arguments, *EASY, "--augment", augment, "--out", "run", "--json", *more


@pytest.mark.slow
@pytest.mark.parametrize("place", ["function", "layers", "file"])
def test_is_compressed_checked_and_told(edgett: Call, tiny: Tiny, place: str) -> None:
    """In worker processes too, to which the function of the working directory goes along."""
    name = f"augment_{place}"
    Path(f"{name}.py").write_text(NOISY)
    keras.Sequential([keras.Input((64,)), keras.layers.GaussianNoise(0.2)]).save("noise.keras")
    spec = "noise.keras" if place == "layers" else f"{name}:noisy"
    arguments = asked(tiny, spec, "--jobs", "1")
    if place == "file":
        Path("edgett.toml").write_text(f'augment = "{spec}"\n')
        arguments = tuple(part for part in arguments if part not in ("--augment", spec))

    answer = edgett(*arguments)

    assert answer.code == 0, answer.err
    assert answer.document["check"]["ok"] and len(answer.document["trials"]) == 2
    stored = json.loads(Path("run/run.json").read_text())
    assert stored["options"]["augment"]["value"] == spec and len(stored["digests"]["augment"]) == 64
    Path("edgett.toml").unlink(missing_ok=True)
    plain = edgett("compress", *tiny.arguments, *EASY, "--jobs", "1", "--out", "plain", "--json").document
    losses = [[trial["losses"] for trial in one["trials"]] for one in (plain, answer.document)]
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_a_run_does_not_go_on_with_another_augmentation(edgett: Call, tiny: Tiny) -> None:
    Path("augment_before.py").write_text(NOISY)
    first = edgett(*asked(tiny, "augment_before:noisy"))
    assert first.code == 0
    other = edgett("compress", "--out", "run", "--resume", "--augment", "noise.keras")
    assert other.code == 2 and "augment was augment_before:noisy, now noise.keras" in other.err


@pytest.mark.parametrize(
    ("augment", "message", "cure"),
    [
        ("nowhere_to_be_found:f", "cannot be imported", "Give package.module:function"),
        ("augment_half:f", "makes (8, 32) of input", "must give one of the same shape"),
        ("dense.keras", "a Dense, is none of Keras's preprocessing layers", "RandomFlip"),
        ("gone.keras", "there is no such file", "a .keras file"),
    ],
)
def test_what_cannot_be_used_is_a_wrong_usage_and_leaves_no_run(
    edgett: Call, tiny: Tiny, augment: str, message: str, cure: str
) -> None:
    Path("augment_half.py").write_text("def f(x):\n    return x[:, :32]\n")
    keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)]).save("dense.keras")
    answer = edgett(*asked(tiny, augment))
    assert answer.code == 2
    error = answer.document["error"]
    assert message in error["message"] and cure in str(error)
    assert not Path("run").exists()


def test_a_frozen_trunk_has_no_place_beside_it(edgett: Call, tiny: Tiny) -> None:
    answer = edgett(*asked(tiny, "math:erf", "--trunk", "frozen"))
    assert answer.code == 2 and "a frozen one is run once" in answer.document["error"]["message"]
