"""What the command line says of a model file, asks of one with open dimensions, and finds in the working directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.conftest import EASY, QUICK, Answer, Tiny
from tests.model.old_files import entry, functional, layer, numbers, write
from tests.train.test_cluster import needs_ray

Call = Callable[..., Answer]
L = keras.layers


def test_the_first_line_says_what_wrote_the_file(edgett: Call) -> None:
    dense = layer("Dense", "fc", ("x",), units=48, activation="linear")
    weights = {"fc": [("fc/kernel:0", numbers(64, 48)), ("fc/bias:0", numbers(48))]}
    write(Path("model.H5"), functional([entry("x", 64), dense], [["fc", 0, 0]]), weights, version="2.3.0-tf")
    line = "model.H5: HDF5, written by Keras 2.3.0-tf"
    answer = edgett("explore", "model.H5")
    assert answer.code == 0 and answer.err.splitlines()[0] == line
    answer = edgett("explore", "model.H5", "--json")
    assert answer.err.splitlines()[0] == line and answer.document["layers"][0]["name"] == "fc"
    assert edgett("explore", "model.H5", "--quiet").err == ""


def open_model(path: str = "open.keras") -> None:
    x = keras.Input((None, None, 1), name="image")
    h = L.Dense(48, "relu", name="fc")(L.GlobalAveragePooling2D()(L.Conv2D(64, 3)(x)))
    model = keras.Model(x, L.Dense(10, "softmax", name="digit")(h), name="open")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(path)


def test_open_dimensions(edgett: Call) -> None:
    open_model()
    for search in ("grid", "pareto"):
        answer = edgett("explore", "open.keras", "--search", search, "--json")
        assert answer.code == 3
        assert "(n, any, any, 1): dimensions 1, 2" in answer.document["error"]["message"]
        assert "--input-shape 32,32,1" in answer.document["error"]["cure"]
        answer = edgett("explore", "open.keras", "--search", search, "--input-shape", "8,8,1", "--json")
        assert answer.code == 0, answer.err
    Path("edgett.toml").write_text('model = "open.keras"\ninput_shape = ["image=8,8,1"]\n')
    assert edgett("explore", "--quiet").code == 0


@pytest.mark.parametrize("text", ["", "8", "8,8", "8,0,1", "8,8,-1", "8x8x1", "a,b", "image=", "other=8,8,1"])
def test_sizes_that_are_none(text: str, edgett: Call) -> None:
    open_model()
    answer = edgett("explore", "open.keras", "--input-shape", text)
    assert answer.code == 2 and "--input-shape" in answer.err and "Traceback" not in answer.err


@pytest.mark.slow
def test_a_run_of_open_dimensions_has_fixed_ones(edgett: Call, tiny: Tiny) -> None:
    open_model()
    arrays = tiny.arrays()
    images = {name: a.reshape(-1, 8, 8, 1) if name.startswith("x") else a for name, a in arrays.items()}
    np.savez("images.npz", **images)
    asked = ("open.keras", "--data", "images.npz", "--target", "cortex-a53", *QUICK, *EASY, "--objective", "memory")
    answer = edgett("compress", *asked, "--input-shape", "8,8,1", "--out", "run", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["check"]["ok"]
    assert tuple(keras.models.load_model("run/artifacts/baseline.keras").input_shape) == (None, 8, 8, 1)
    assert edgett("compress", "--out", "run", "--resume", "--json").document == answer.document
    number = answer.document["trials"][0]["solution"]
    assert edgett("export", "run", "--solution", number, "--out", "again").code == 0
    assert edgett("check", "run").code == 0


@pytest.mark.slow
def test_weights_that_are_no_numbers(edgett: Call, tiny: Tiny) -> None:
    model = keras.models.load_model(tiny.model)
    weights = model.get_weights()
    weights[2][0, 0] = np.nan
    model.set_weights(weights)
    model.save("nan.keras")
    answer = edgett("compress", "nan.keras", "--data", tiny.data, "-t", "host", "--out", "run", "--json")
    assert answer.code == 3 and "weight 'kernel' of layer 'dense'" in answer.document["error"]["message"]
    assert not Path("run").exists()


MINE = """
import keras
import beside
from beside import twice

@keras.saving.register_keras_serializable("mine")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return twice(x) + 0 * beside.FACTOR

    def compute_output_shape(self, shape):
        return shape

def bent(x):
    return keras.ops.tanh(x) * 2  # the constant that `twice` has

def lost(wanted, found):
    return keras.ops.mean(keras.ops.abs(wanted - found) ** 3, axis=-1)
"""
BUILD = """
import keras
import numpy as np
import mine

x = keras.Input((64,))
h = keras.layers.Dense(48, mine.bent, name="fc")(mine.Doubled()(x))
model = keras.Model(x, keras.layers.Dense(4, name="out")(h))
model.compile("sgd", mine.lost)
model.save("model.keras")
random = np.random.default_rng(0)
parts = {"train": 200, "test": 60}
inputs = {f"x_{part}": random.normal(size=(count, 64)).astype("float32") for part, count in parts.items()}
labels = {f"y_{part}": random.normal(size=(count, 4)).astype("float32") for part, count in parts.items()}
np.savez("data.npz", **inputs, **labels)
"""


def command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process that does not have its working directory among its places for modules."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    script = "import sys; sys.path.pop(0); from edgett.cli import main; sys.argv[0] = 'edgett'; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("where", [("--jobs", "2"), pytest.param(("--cluster",), marks=needs_ray)], ids=["here", "ray"])
def test_modules_of_the_working_directory_reach_every_worker(where: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "beside.py").write_text("FACTOR = 2.0\n\ndef twice(x):\n    return x * FACTOR\n")
    subprocess.run([sys.executable, "-c", BUILD], cwd=tmp_path, check=True, capture_output=True)
    asked = ["compress", "model.keras", "--custom-objects", "mine", "--data", "data.npz", "--target", "cortex-a53"]
    asked += ["--ranks", "2:4", "--limit", "2", "--epochs", "1", "--max-drop", "100", "--model-bytes", "200 %"]
    if where == ("--cluster",):
        done = with_a_cluster(asked, tmp_path)
    else:
        done = command(*asked, *where, "--out", "run", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert trials and all(trial["failure"] is None for trial in trials)


CLUSTER = """
import sys
from ray.cluster_utils import Cluster

print(Cluster(True, head_node_args=dict(num_cpus=1, object_store_memory=80 << 20, include_dashboard=False)).address)
sys.stdout.flush()
sys.stdin.read()
"""


def with_a_cluster(asked: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """On a Ray cluster that was started elsewhere, so that its workers do not find the modules."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER], cwd=elsewhere, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    ) as cluster:  # fmt: skip
        assert cluster.stdout is not None
        address = cluster.stdout.readline().strip()
        return command(*asked, "--cluster", address, "--out", "run", "--json", folder=folder)
