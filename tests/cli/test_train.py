"""edgett train: a network from its initial weights, low rank from some epoch on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.model.models import load_model
from edgett.train.phases import Checkpoint, Phase
from edgett.workflow import train as work
from tests import schemas
from tests.conftest import Answer, Tiny, blobs

Call = Callable[..., Answer]
HOW = ("--target", "host", "--epochs", "5", "--flops", "60 %", "--batch-size", "64")


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Of initial weights, in parts: a model is in it, and a layer that draws."""
    keras.utils.set_random_seed(1)
    inner = keras.Sequential([keras.Input((48,)), keras.layers.Dense(36, "relu", name="fc2")], name="inner")
    layers = [keras.layers.Dense(48, "relu", name="fc1"), keras.layers.Dropout(0.1, seed=2), inner]
    model = keras.Sequential([keras.Input((64,), name="x"), *layers, keras.layers.Dense(10, "softmax", name="y")])
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(tmp_path / "network.keras")
    return tmp_path / "network.keras"


def test_trains_in_low_rank_and_writes_a_plain_model(edgett: Call, network: Path, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "small.keras"
    answer = edgett("train", network, "--data", tiny.data, *HOW, "--out", out, "--json")
    assert answer.code == 0, answer.err
    told = answer.document
    schemas.hold("train", told)
    assert told["epochs"] == {"dense": 1, "low_rank": 4, "dense_again": 0}
    assert told["params"]["after"] < told["params"]["before"] and told["layers"]
    assert len(told["losses"]) == 5 and told["losses"][-1] < 0.5 * told["losses"][0]
    assert told["seconds"]["search"] > 0 == told["seconds"]["dense_again"]
    assert [path.name for path in sorted(tmp_path.glob("small*"))] == ["small.keras"], "no checkpoint is left"
    model = keras.models.load_model(out)  # without edgett
    assert model.count_params() == told["params"]["after"]
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-3), "it can be trained on"
    _, accuracy = model.evaluate(*(blobs()[name] for name in ("x_test", "y_test")), verbose=0)
    assert told["test_accuracy"][0]["value"] == pytest.approx(accuracy, abs=1e-6) and accuracy > 0.5


def test_in_words(edgett: Call, network: Path, tiny: Tiny, tmp_path: Path) -> None:
    answer = edgett("train", network, "--data", tiny.data, *HOW, "--out", tmp_path / "small.keras")
    told = " ".join(answer.out.split())
    assert "dense 1" in told and "low rank 4" in told and "search of forms" in told and "y accuracy: validation" in told
    assert "training in low rank, 4 epochs" in answer.err
    assert answer.err.splitlines()[-1] == f"written: {tmp_path / 'small.keras'}"


def test_what_is_written_can_be_deployed(edgett: Call, network: Path, tiny: Tiny, tmp_path: Path) -> None:
    assert edgett("train", network, "--data", tiny.data, *HOW, "--out", tmp_path / "small.keras").code == 0
    answer = edgett("deploy", tmp_path / "small.keras", "--data", tiny.data, "--target", "host", "--model-bytes",
                    "100 %", "--out", tmp_path / "run")  # fmt: skip
    assert answer.code == 0 and "ok" in answer.out


def test_back_to_dense_has_the_network_again(edgett: Call, network: Path, tiny: Tiny, tmp_path: Path) -> None:
    """As it goes back, its weights are what the forms stand for: of their rank, with the same outputs."""
    out = tmp_path / "dense.keras"
    answer = edgett("train", network, "--data", tiny.data, *HOW, "--back-to-dense", 1, "--out", out, "--json")
    assert answer.code == 0 and answer.document["epochs"] == {"dense": 1, "low_rank": 3, "dense_again": 1}
    assert answer.document["params"]["after"] == answer.document["params"]["before"]
    assert keras.models.load_model(out).count_params() == answer.document["params"]["before"]
    assert answer.document["losses"][-1] < 1.2 * answer.document["losses"][-2]


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 3, 4])
def test_goes_on_where_it_was_stopped(
    after: int, edgett: Call, network: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dense, in low rank, and before it is dense again: the same bytes as of one that was not stopped."""
    options = ("train", network, "--data", tiny.data, *HOW, "--back-to-dense", 1, "--json", "--out")
    assert edgett(*options, tmp_path / "whole.keras").code == 0
    save = Checkpoint.save

    def stopping(self: Checkpoint, path: Path, ground: str) -> None:
        save(self, path, ground)
        if self.done == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", stopping)
        stopped = edgett(*options, tmp_path / "parts.keras")
    assert stopped.code == 130 and "every finished epoch is kept" in stopped.err and "--resume" in stopped.err
    assert not (tmp_path / "parts.keras").exists() and (tmp_path / "parts.training").exists()
    other = edgett(*options, tmp_path / "parts.keras", "--resume", "--seed", 5)
    assert other.code == 2 and "other options" in other.err
    before = network.read_bytes()
    model = keras.models.load_model(network, compile=False)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(network)
    other = edgett(*options, tmp_path / "parts.keras", "--resume")
    assert other.code == 2 and "of another model" in other.err, "trained otherwise"
    network.write_bytes(before)
    answer = edgett(*options, tmp_path / "parts.keras", "--resume")
    assert answer.code == 0 and len(answer.document["losses"]) == 5
    assert (tmp_path / "parts.keras").read_bytes() == (tmp_path / "whole.keras").read_bytes()


def test_stopped_in_the_first_epoch_there_is_nothing_to_go_on_from(
    edgett: Call, network: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(self: Checkpoint, path: Path, ground: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", stopping)
    answer = edgett("train", network, "--data", tiny.data, *HOW, "--out", tmp_path / "a.keras")
    assert answer.code == 130 and "--resume" not in answer.err and not list(tmp_path.glob("a.*"))


def test_forms_multiplied_out_give_the_same_outputs(network: Path) -> None:
    from edgett.forms.tt.shape import TTShape
    from edgett.model.layers import replace

    model = load_model(network)
    edits = {"fc1": TTShape((8, 8), (6, 8), (1, 3, 1)), "inner/fc2": TTShape((6, 8), (6, 6), (1, 2, 1))}
    small = replace(model, edits)
    work._rebuild(model, small, edits)
    work._rebuild(small, small, {})  # a network may be given with layers in forms
    x = np.random.default_rng(0).normal(size=(7, 64)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x, verbose=0), small.predict(x, verbose=0), atol=1e-5)


def refused(edgett: Call, *arguments: Any) -> tuple[int, str]:
    answer = edgett("train", *arguments)
    return answer.code, answer.err


class TestBadInput:
    def test_no_epoch_for_low_rank(self, edgett: Call, network: Path, tiny: Tiny) -> None:
        code, told = refused(edgett, network, "--data", tiny.data, "--target", "host", "--epochs", 4,
                             "--dense-epochs", 2, "--back-to-dense", 2)  # fmt: skip
        assert code == 2 and "leave none for low rank" in told

    def test_a_file_that_keras_would_not_know(self, edgett: Call, network: Path) -> None:
        code, told = refused(edgett, network, "--target", "host", "--out", "small.h5")
        assert code == 2 and "does not end in .keras" in told

    def test_no_labels(self, edgett: Call, network: Path, tmp_path: Path) -> None:
        np.savez(tmp_path / "bare.npz", x_train=blobs()["x_train"], x_test=blobs()["x_test"])
        code, told = refused(edgett, network, "--data", tmp_path / "bare.npz", "--target", "host")
        assert code == 3 and "has no labels" in told

    def test_no_data(self, edgett: Call, network: Path) -> None:
        code, told = refused(edgett, network, "--target", "host")
        assert code == 3 and "comes without data" in told

    def test_nothing_to_go_on_from(self, edgett: Call, network: Path, tiny: Tiny, tmp_path: Path) -> None:
        code, told = refused(edgett, network, "--data", tiny.data, *HOW, "--resume", "--out", tmp_path / "a.keras")
        assert code == 2 and "there is no" in told and "a.training" in told

    def test_budgets_that_no_form_holds(self, edgett: Call, network: Path, tiny: Tiny, tmp_path: Path) -> None:
        code, told = refused(edgett, network, "--data", tiny.data, "--target", "host", "--epochs", 2, "--model-bytes",
                             "100 B", "--out", tmp_path / "a.keras")  # fmt: skip
        assert code == 4 and "no low-rank form of this network holds what is asked of it: model_bytes" in told
        assert not (tmp_path / "a.keras").exists()

    @pytest.mark.parametrize(
        ("options", "code", "told"),
        [
            (("--only-layer", "zz"), 2, "zz"),
            (("--skip-layer", "fc1", "--skip-layer", "inner/fc2", "--skip-layer", "y"), 4, "no layer of this network"),
            (("--share", "0.99"), 4, "no layer of this network"),
            (("--flops", "0 %"), 2, "0 %"),
            (("--out", "/no/such/place.keras"), 2, "no place for a file"),
        ],
    )
    def test_what_cannot_be_is_told_before_the_first_epoch(
        self, options: tuple[str, ...], code: int, told: str, edgett: Call, network: Path, tiny: Tiny, tmp_path: Path
    ) -> None:
        place = ("--out", str(tmp_path / "a.keras"))
        found, said = refused(edgett, network, "--data", tiny.data, "--target", "host", *place, *options)
        assert found == code and told in said and "training dense" not in said

    def test_a_network_that_holds_everything_may_keep_a_tenth(
        self, edgett: Call, network: Path, tiny: Tiny, tmp_path: Path
    ) -> None:
        options = ("--target", "host", "--model-bytes", "100 %", "--epochs", 2, "--out", tmp_path / "a.keras")
        code, told = refused(edgett, network, "--data", tiny.data, *options)
        assert "it may keep 10% of its FLOPs (--flops)" in told
        assert code == 0 or "holds what is asked of it: model_bytes, peak_activation_bytes, flops" in told

    def test_a_training_that_diverges(self, edgett: Call, network: Path, tiny: Tiny, tmp_path: Path) -> None:
        model = keras.models.load_model(network, compile=False)
        model.compile(keras.optimizers.SGD(1e30), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.save(network)
        code, told = refused(edgett, network, "--data", tiny.data, *HOW, "--out", tmp_path / "a.keras")
        assert code == 6 and "the training diverged" in told and "in epoch 1" in told and "--learning-rate" in told
        assert not (tmp_path / "a.keras").exists()


def test_phases_have_words() -> None:
    assert work.WORDS.keys() == set(Phase)


@pytest.mark.slow
def test_with_altered_inputs_stopped_and_gone_on_with(
    edgett: Call, network: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weights as in one go; other ones than without."""
    (tmp_path / "augment_train.py").write_text(
        "def noisy(x, random):\n    return (x + 0.2 * random.normal(size=x.shape)).astype(x.dtype)\n"
    )
    monkeypatch.chdir(tmp_path)
    asked = ("train", network, "--data", tiny.data, *HOW, "--json")
    plain = edgett(*asked, "--out", "plain.keras").document
    whole = edgett(*asked, "--augment", "augment_train:noisy", "--out", "whole.keras").document
    assert whole["losses"] != plain["losses"]
    save = Checkpoint.save

    def stopped(self: Checkpoint, path: Path, ground: str) -> None:
        save(self, path, ground)
        if self.done == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", stopped)
        assert edgett(*asked, "--augment", "augment_train:noisy", "--out", "parts.keras").code == 130
    assert edgett(*asked, "--resume", "--out", "parts.keras").code == 2, "what it stands on has changed"
    parts = edgett(*asked, "--augment", "augment_train:noisy", "--resume", "--out", "parts.keras").document
    assert parts["losses"] == whole["losses"]
