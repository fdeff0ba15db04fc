"""A model that was packed and unpacked is the same model, and trains the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgett.errors import ModelError
from edgett.forms.site import Cost
from edgett.forms.tt.shape import TTShape
from edgett.model.models import unpack_weights
from edgett.model.ports import input_ports, keras, output_ports
from edgett.model.slim.pruned import Pruning
from edgett.search.solution import Solution
from edgett.train.assess import outputs
from edgett.train.data import Split
from edgett.train.finetune import Recipe, Task, Tuner
from edgett.train.parcel import Parcel, pack, unpack
from edgett.train.quality import judge
from edgett.train.training import tf

L = keras.layers
TASK = Task(Solution(0, {"fc": TTShape((4, 4), (3, 4), (1, 3, 1))}, Cost(1, 1), 4), 1)
SAMPLES = 40


def leaky(x: Any) -> Any:
    return tf.nn.leaky_relu(x, 0.3)


def cubed(y: Any, p: Any) -> Any:
    return tf.reduce_mean(tf.abs(y - p) ** 3, axis=-1)


def closeness(y: Any, p: Any) -> Any:
    return tf.exp(-tf.reduce_mean(tf.abs(y - p), axis=-1))


class Scaled(L.Layer):
    """Has a weight and a setting of its own."""

    def __init__(self, power: float = 2.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.power = power

    def build(self, shape: tuple[int, ...]) -> None:
        self.scale = self.add_weight(shape=shape[-1:], initializer="ones", name="scale")

    def call(self, x: Any) -> Any:
        return tf.abs(x * self.scale) ** self.power

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"power": self.power}


@keras.saving.register_keras_serializable("mine")
class Registered(Scaled):
    pass


class Forgetful(L.Layer):
    """Says something else than what it was given."""

    def __init__(self, factor: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return x * self.factor

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"factor": 1.5}


class Silent(Forgetful):
    """Leaves out what it was given."""

    def get_config(self) -> dict[str, Any]:
        return L.Layer.get_config(self)


class Calmer(keras.losses.Loss):
    def __init__(self, share: float = 0.5, **settings: Any) -> None:
        super().__init__(**settings)
        self.share = share

    def call(self, y: Any, p: Any) -> Any:
        return self.share * tf.reduce_mean((y - p) ** 2, axis=-1)


def chain(*between: Any, out: Any = None) -> keras.Model:
    layers = [keras.Input((16,), name="x"), L.Dense(12, "relu", name="fc"), *between]
    return keras.Sequential([*layers, out or L.Dense(3, "softmax", name="out")], name="chain")


def compiled(model: keras.Model, **how: Any) -> keras.Model:
    usual = {"optimizer": keras.optimizers.Adam(3e-3), "loss": "sparse_categorical_crossentropy"}
    model.compile(**{**usual, "metrics": ["accuracy"], **how})
    return model


def sequential() -> keras.Model:
    return compiled(chain(L.BatchNormalization(), L.Dropout(0.2)))


def uncompiled_one() -> keras.Model:
    return chain()


def two_by_two() -> keras.Model:
    a, b = keras.Input((16,), name="a"), keras.Input((4,), name="b")
    joined = L.Concatenate(name="join")([L.Dense(12, "tanh", name="fc")(a), b])
    made = [L.Dense(3, "softmax", name="kind")(joined), L.Dense(1, name="size")(joined)]
    losses = {"kind": "sparse_categorical_crossentropy", "size": keras.losses.Huber(0.3)}
    return compiled(
        keras.Model([a, b], made), loss=losses, loss_weights={"kind": 1.0, "size": 0.2}, metrics={"kind": "accuracy"}
    )


def nested() -> keras.Model:
    x = keras.Input((16,), name="x")
    inner = compiled(keras.Sequential([keras.Input((12,)), L.Dense(6, "relu"), L.Dropout(0.1)], name="inner"))
    return compiled(keras.Model(x, L.Dense(3, "softmax", name="out")(inner(L.Dense(12, name="fc")(x)))))


def custom() -> keras.Model:
    return compiled(chain(Scaled(1.5), Registered(1.2), L.Activation(leaky), L.Dense(8, activation=leaky)))


def own_loss() -> keras.Model:
    return compiled(chain(out=L.Dense(2, name="out")), loss=cubed, metrics=[closeness])


def own_loss_class() -> keras.Model:
    return compiled(chain(out=L.Dense(2, name="out")), loss=Calmer(0.25), metrics=[keras.metrics.MeanAbsoluteError()])


def local_functions() -> keras.Model:
    """What is defined inside a function has no name that another process could import."""
    half = 0.5

    def halved(x: Any) -> Any:
        return x * half

    return compiled(
        chain(L.Activation(halved), out=L.Dense(2, name="out")),
        loss=lambda y, p: tf.reduce_mean(half * (y - p) ** 2, axis=-1),
        metrics=[keras.metrics.MeanAbsoluteError()],
    )


def scheduled() -> keras.Model:
    falling = keras.optimizers.schedules.ExponentialDecay(1e-2, 2, 0.8)
    return compiled(chain(), optimizer=keras.optimizers.SGD(falling, momentum=0.9, clipnorm=1.0))


def mixed() -> keras.Model:
    layers = [L.Dense(12, "relu", name="fc", dtype="mixed_float16"), L.Dense(3, "softmax", name="out")]
    return compiled(keras.Sequential([keras.Input((16,), name="x"), *layers], name="mixed"))


MODELS = [sequential, two_by_two, custom, local_functions]
MORE = [uncompiled_one, nested, own_loss, own_loss_class, scheduled, mixed]


def split(model: keras.Model, seed: int) -> Split:
    random = np.random.default_rng(seed)
    x = {port.name: random.normal(size=(SAMPLES, *port.shape)).astype(np.float32) for port in input_ports(model)}
    y: dict[str, Any] = {}
    for port in output_ports(model):
        classes = port.activation == "softmax"
        shape = (SAMPLES, *port.shape)
        y[port.name] = random.integers(3, size=SAMPLES) if classes else random.normal(size=shape).astype(np.float32)
    return Split(x, y)


def tuner_of(make: Callable[[], keras.Model]) -> Tuner:
    keras.utils.set_random_seed(1)
    model = make()
    train = split(model, 0)
    return Tuner(model, train, split(model, 1), judge(model, train.y), Recipe(1, 16, seed=2))


def assert_same(tuner: Tuner, twin: Tuner) -> None:
    """The same outputs, the same compilation by what training makes of it."""
    mine, theirs = (outputs(one.model, one.validation.x) for one in (tuner, twin))
    assert list(mine) == list(theirs)
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name])
    first, second = (one.run(TASK, lambda batches: None) for one in (tuner, twin))
    assert first.failure is None
    assert (first.losses, first.quality, first.weights) == (second.losses, second.quality, second.weights)


@pytest.mark.slow
@pytest.mark.parametrize("make", [*MODELS, *(pytest.param(make, marks=pytest.mark.slow) for make in MORE)])
def test_the_twin_trains_the_same(make: Callable[[], keras.Model]) -> None:
    tuner = tuner_of(make)
    twin = unpack(pack(tuner))
    assert twin.model is not tuner.model and twin.recipe == tuner.recipe
    assert twin.model.compiled == tuner.model.compiled
    assert_same(tuner, twin)


def test_models_without_channels_go_along() -> None:
    tuner = tuner_of(two_by_two)
    pruned = Pruning(tuner.model, tuner.train.x).pruned(0.7)
    assert pruned is not None and pruned.removed
    tuner = replace(tuner, pruned={pruned.gone: pruned})
    twin = unpack(pack(tuner))
    task = Task(replace(TASK.solution, edits={}, removed=pruned.removed), 1)
    first, second = (one.run(task, lambda batches: None) for one in (tuner, twin))
    assert first.failure is None
    assert (first.losses, first.quality, first.weights) == (second.losses, second.quality, second.weights)
    model = pruned.of(tuner.model)
    assert np.any(model.get_layer("fc").kernel != 0)
    unpack_weights(model, first.weights)


def test_packing_leaves_the_model_as_it_was() -> None:
    tuner = tuner_of(nested)
    weights = tuner.model.get_weights()
    pack(tuner)
    assert tuner.model.compiled and tuner.model.get_layer("inner").compiled
    np.testing.assert_equal(tuner.model.get_weights(), weights)


@pytest.mark.parametrize("make", [two_by_two, custom])
def test_a_saved_parcel_maps_its_arrays(make: Callable[[], keras.Model], tmp_path: Path) -> None:
    parcel = pack(tuner_of(make))
    parcel.save(tmp_path)
    again = Parcel.load(tmp_path)
    assert (again.content, again.edgett) == (parcel.content, parcel.edgett)
    assert list(again.arrays) == list(parcel.arrays)
    for name, array in again.arrays.items():
        assert isinstance(array, np.memmap)
        np.testing.assert_array_equal(array, parcel.arrays[name])


def test_what_is_mapped_already_is_not_copied(tmp_path: Path) -> None:
    tuner = tuner_of(sequential)
    features = np.lib.format.open_memmap(tmp_path / "features.npy", "w+", np.float32, (SAMPLES, 16))
    features[:] = tuner.train.x["x"]
    features.flush()
    mapped = Tuner(tuner.model, Split({"x": features}, tuner.train.y), tuner.validation, tuner.judge, tuner.recipe)
    (tmp_path / "parcel").mkdir()
    pack(mapped).save(tmp_path / "parcel")
    again = Parcel.load(tmp_path / "parcel").arrays["train.x.x"]
    assert isinstance(again, np.memmap) and Path(str(again.filename)) == tmp_path / "features.npy"
    assert len(list((tmp_path / "parcel").glob("*.npy"))) == 3
    np.testing.assert_array_equal(again, tuner.train.x["x"])


def test_a_part_of_a_mapped_array_is_written(tmp_path: Path) -> None:
    whole = np.lib.format.open_memmap(tmp_path / "whole.npy", "w+", np.float32, (6, 2))
    whole[:] = np.arange(12).reshape(6, 2)
    (tmp_path / "parcel").mkdir()
    Parcel(b"", {"all": whole, "end": whole[4:], "every": whole[::2]}, "1").save(tmp_path / "parcel")
    again = Parcel.load(tmp_path / "parcel").arrays
    for name, array in {"all": whole, "end": whole[4:], "every": whole[::2]}.items():
        np.testing.assert_array_equal(again[name], array)


@pytest.mark.parametrize("layer", [Forgetful(3.0), Silent(3.0), L.Activation(lambda x: x / 2)])
def test_a_model_that_would_be_another_is_refused_with_the_cure(layer: L.Layer) -> None:
    with pytest.raises(ModelError, match="'chain' cannot be sent to other processes") as caught:
        pack(tuner_of(lambda: compiled(chain(layer))))
    assert "--jobs 0" in caught.value.cure and "get_config" in caught.value.cure


def elsewhere(code: str, *arguments: str, path: Path) -> str:
    """What a fresh process prints that finds edgett and what lies in `path`, nothing else."""
    kept: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=kept, cwd=path)
    assert done.returncode == 0, done.stderr
    return done.stdout


OWN = """
import keras

def soft(x):
    return keras.ops.softplus(x) / SHARE

SHARE = 2

@keras.saving.register_keras_serializable("theirs")
class Own(keras.layers.Layer):
    def call(self, x):
        return soft(x)

def loss(y, p):
    return keras.ops.mean(soft(keras.ops.abs(y - p)), axis=-1)
"""

SEND = """
import sys
import numpy as np
from pathlib import Path
from edgett.train.data import Split
from edgett.train.assess import outputs
from edgett.train.finetune import Recipe, Tuner
from edgett.train.parcel import pack
from edgett.train.quality import judge

keras.utils.set_random_seed(0)
layers = [keras.Input((4,), name="x"), keras.layers.Dense(3, activation=soft), Own(), keras.layers.Dense(2, name="out")]
model = keras.Sequential(layers)
model.compile("adam", loss)
x = np.ones((6, 4), np.float32)
samples = Split({"x": x}, {"out": np.ones((6, 2), np.float32)})
tuner = Tuner(model, samples, samples, judge(model, samples.y), Recipe())
pack(tuner).save(Path(sys.argv[1]))
print(outputs(model, {"x": x})["out"][0].tolist())
"""

RECEIVE = """
import sys
from pathlib import Path
from edgett.train.assess import outputs
from edgett.train.parcel import Parcel, unpack

tuner = unpack(Parcel.load(Path(sys.argv[1])))
print(outputs(tuner.model, tuner.train.x)["out"][0].tolist())
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", [OWN + SEND, "from own import *\nimport keras\n" + SEND], ids=["script", "module"])
def test_code_of_a_script_and_of_a_module_goes_along(script: str, tmp_path: Path) -> None:
    here, there, parcel = (tmp_path / name for name in ("here", "there", "parcel"))
    for folder in (here, there, parcel):
        folder.mkdir()
    (here / "own.py").write_text(OWN)
    sent = elsewhere(script, str(parcel), path=here)
    assert elsewhere(RECEIVE, str(parcel), path=there) == sent


METRIC = """
import help_of_theirs

def figure(y, p):
    return help_of_theirs.worth(y, p)
"""

JUDGED = """
from edgett.train.quality import Ask
from edgett.job.yardstick import parse_metric
asked = judge(model, samples.y, Ask(parse_metric("their_figure:figure:min")))
tuner = Tuner(model, samples, samples, asked, Recipe())
pack(tuner).save(Path(sys.argv[1]))
"""

JUDGE = """
import sys
from pathlib import Path
from edgett.train.assess import assess
from edgett.train.parcel import Parcel, unpack

tuner = unpack(Parcel.load(Path(sys.argv[1])))
(score, *_) = assess(tuner.model, tuner.train, tuner.judge).scores
print(score.metric, score.value, score.higher_is_better, tuner.judge)
"""


@pytest.mark.slow
def test_the_users_metric_judges_elsewhere(tmp_path: Path) -> None:
    """Its code goes along, with what it imports from its own folder."""
    here, there, parcel = (tmp_path / name for name in ("here", "there", "parcel"))
    for folder in (here, there, parcel):
        folder.mkdir()
    (here / "their_figure.py").write_text(METRIC)
    (here / "help_of_theirs.py").write_text("def worth(y, p):\n    return float(abs(y - p).sum())\n")
    script = SEND.replace("Own(), ", "").replace("activation=soft", "'relu'").replace('"adam", loss', '"adam", "mse"')
    script = script.replace("pack(tuner).save(Path(sys.argv[1]))", JUDGED)
    elsewhere("import keras\n" + script, str(parcel), path=here)
    told = elsewhere(JUDGE, str(parcel), path=there).split()
    assert told[0] == "figure" and float(told[1]) > 0 and told[2] == "False"
    assert " ".join(told[3:]) == "figure, drop in % of the baseline"
