"""The networks have the sizes that their authors give, train reproducibly, and are cached."""

import math
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.errors import ModelError
from edgett.examples import baseline as baselines
from edgett.examples import clock, zoo
from edgett.meter import Silent
from edgett.model.ports import feed, wanted
from edgett.system import folders
from edgett.train.data import data_from_arrays, load_data
from edgett.workflow.survey import graphs

SIZES = {
    "lenet300": (266_610, {"fc1": (784, 300), "fc2": (300, 100), "fc3": (100, 10)}),
    "lenet5": (61_706, {"fc1": (400, 120), "fc2": (120, 84), "fc3": (84, 10)}),
    "alexnet": (25_730_466, {"fc1": (256, 4096), "fc2": (4096, 4096), "fc3": (4096, 1000), "fc4": (1000, 10)}),
    "vgg16": (39_979_338, {"fc1": (2048, 4096), "fc2": (4096, 4096), "fc3": (4096, 10)}),
    "resnet8": (78_666, {"fc": (64, 10)}),
    "dscnn": (24_908, {"word": (64, 12)}),
    "clock": (955_998, {"hour_fc": (4536, 100), "minute_fc": (4536, 100), "hour": (100, 12), "minute": (100, 60)}),
}


class Record(Silent):
    """A meter that remembers what it was told."""

    def __init__(self):
        self.said, self.total, self.done = [], None, 0

    @contextmanager
    def stage(self, text, total=None):
        self.total = total
        yield self._advance

    def _advance(self, units):
        self.done += units

    def say(self, text):
        self.said.append(text)


def _digits(seed=0):
    """Ten random pictures, each many times under noise."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 256, (10, 28, 28))
    arrays = {}
    for part in ("train", "val", "test"):
        labels = np.tile(np.arange(10), 32)
        noisy = pictures[labels] + random.normal(0, 60, (320, 28, 28))
        arrays |= {f"x_{part}": noisy.clip(0, 255).astype(np.uint8), f"y_{part}": labels}
    return data_from_arrays(arrays, zoo.lenet300(), seed)


@pytest.fixture(scope="module")
def digits():
    return _digits()


@pytest.fixture
def short():
    return replace(zoo.example("lenet300"), epochs=2, batch_size=32)


@pytest.mark.parametrize("name", SIZES)
def test_networks_have_the_sizes_of_their_authors(name):
    model = zoo.example(name).build()
    params, expected = SIZES[name]
    found = {layer.name: layer.kernel.shape for layer in model.layers if isinstance(layer, keras.layers.Dense)}
    assert model.count_params() == params
    assert found == expected
    assert model.compiled


def _convolution(positions, taps, outputs):
    """Multiplications of a convolution, and its parameters with the bias."""
    return positions * taps * outputs, (taps + 1) * outputs


RESNET8 = (
    _convolution(32 * 32, 9 * 3, 16),
    *[_convolution(32 * 32, 9 * 16, 16)] * 2,
    *(_convolution(16 * 16, taps, 32) for taps in (9 * 16, 9 * 32, 16)),
    *(_convolution(8 * 8, taps, 64) for taps in (9 * 32, 9 * 64, 32)),
    _convolution(1, 64, 10),
)
DSCNN = (
    _convolution(25 * 5, 10 * 4, 64),
    *[_convolution(25 * 5, 9, 64)] * 4,
    *[_convolution(25 * 5, 64, 64)] * 4,
    _convolution(1, 64, 12),
)


@pytest.mark.parametrize(
    ("name", "parts", "macs", "params"),
    [("resnet8", RESNET8, 12_501_632, 77_706), ("dscnn", DSCNN, 2_656_768, 22_604)],
)
def test_networks_of_mlperf_tiny_cost_what_their_authors_say(name, parts, macs, params):
    """ResNet8 12.5 M MACs, DS-CNN 2.7 M; batch normalisation is folded. Beside it, each layer counted by hand."""
    model = zoo.example(name).build()
    model.set_weights([np.full_like(weight, 0.5) for weight in model.get_weights()])  # biases of 0 are not stored
    graph = graphs(model)(frozenset())
    assert graph.macs == macs == sum(part[0] for part in parts)
    assert graph.params() == params == sum(part[1] for part in parts)


@pytest.mark.slow
def test_resnet8_computes_what_the_original_does(mlperf):
    """Layer by layer with the same shapes, strides, paddings and activations, and with its weights the same outputs."""
    original, ours = keras.models.load_model(mlperf / "resnet8.keras"), zoo.resnet8()
    for kind in (keras.layers.Conv2D, keras.layers.BatchNormalization, keras.layers.Dense):
        theirs, mine = (_ordered(model, kind) for model in (original, ours))
        for one, other in zip(theirs, mine, strict=True):
            assert _described(one) == _described(other)
            other.set_weights(one.get_weights())
    first = ours.get_layer("conv1")
    kernel, bias = first.get_weights()
    first.set_weights([kernel * 255, bias])  # the original takes what the images hold, ours divides it by 255
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3)).astype(np.float32)
    expected = original.predict(images, verbose=0)
    assert np.ptp(expected, 0).max() > 0.1  # it tells these apart
    # Probabilities, after float32 sums in another order.
    np.testing.assert_allclose(ours.predict(images, verbose=0), expected, atol=1e-4)


def _ordered(model, kind):
    """The layers of a kind, from the input on; of branches side by side that of the larger kernel first."""
    found = [layer for layer in model.layers if isinstance(layer, kind)]
    return sorted(found, key=lambda layer: (layer.weights[-1].shape[-1], -math.prod(layer.weights[0].shape[:2])))


def _described(layer):
    settings = ("strides", "padding", "activation", "use_bias", "dilation_rate", "groups", "epsilon")
    config = layer.get_config()
    return [weight.shape for weight in layer.weights], {name: config[name] for name in settings if name in config}


def test_clock_rounds_to_the_size_of_the_paper():
    assert round(zoo.clock().count_params() / 1e6, 2) == 0.96


@pytest.mark.parametrize("name", ["lenet300", "lenet5", "clock", "resnet8", "dscnn"])
def test_names_do_not_depend_on_what_was_built_before(name):
    first, second = zoo.example(name).build(), zoo.example(name).build()
    assert [w.path for w in first.weights] == [w.path for w in second.weights]
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
    assert first.name == second.name == name
    assert first.output_names == second.output_names
    assert not any(word in layer.name for layer in first.layers for word in ("dense", "conv2d", "functional"))


def test_every_network_takes_raw_images():
    for name in ("lenet300", "lenet5", "clock", "resnet8"):
        layer = zoo.example(name).build().layers[1]
        assert isinstance(layer, keras.layers.Rescaling)
        assert layer.scale == pytest.approx(1 / 255)


def test_an_unknown_example_is_told_the_nearest_and_all():
    with pytest.raises(ModelError, match=r"'lenet30'.*mean example:lenet300\?.*example:clock.*example:vgg16") as caught:
        zoo.example("lenet30")
    assert caught.value.exit_code == 3
    with pytest.raises(ModelError) as caught:
        zoo.example("zzzz")
    assert "mean" not in caught.value.cure


def test_cepstral_coefficients_are_taken_as_they_are():
    frames, first = zoo.dscnn().layers[:2]
    assert frames.output.shape == (None, 49, 10, 1)
    assert isinstance(first, keras.layers.Conv2D)


def test_only_the_clock_brings_its_data():
    assert [name for name in SIZES if zoo.example(name).draw] == ["clock"]


@pytest.mark.slow
def test_training_improves_and_is_reproducible(digits, short):
    meter = Record()
    model = zoo.train(short, digits, 3, meter)
    again = zoo.train(short, digits, 3, Silent())
    untrained = short.build()
    assert _accuracies(model, digits.train)["accuracy"] > _accuracies(untrained, digits.train)["accuracy"] + 0.3
    assert meter.done == meter.total == 20
    _assert_same_weights(model, again)
    # A fine-tuning that follows starts from the compiled rate, not from where the cosine ended.
    assert float(model.optimizer.learning_rate) == float(untrained.optimizer.learning_rate)


@pytest.mark.slow
def test_the_clock_learns_both_outputs():
    arrays = {name: array[:640] for name, array in clock.clock_arrays(0).items()}
    faces = data_from_arrays(arrays, zoo.clock(), 0)
    found = _accuracies(zoo.train(replace(zoo.example("clock"), epochs=5), faces, 0, Silent()), faces.train)
    assert found["hour_accuracy"] > 3 / 12
    assert found["minute_accuracy"] > 3 / 60


@pytest.mark.slow
def test_another_seed_trains_other_weights(digits, short):
    one, other = (zoo.train(short, digits, seed, Silent()).get_weights()[0] for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_a_cached_baseline_is_the_same_bit_for_bit(digits, short, tmp_path):
    first, second = Record(), Record()
    trained = baselines.baseline(short, digits, 0, tmp_path / "deep" / "er", first)
    loaded = baselines.baseline(short, digits, 0, tmp_path / "deep" / "er", second)
    _assert_same_weights(trained, loaded)
    assert first.done == 20
    assert second.done == 0
    assert "trained before" in second.said[0]
    assert [path.suffix for path in (tmp_path / "deep" / "er").iterdir()] == [".npz"]


@pytest.mark.slow
def test_seed_data_and_example_each_have_an_entry(digits, short, tmp_path):
    meter = Record()
    baselines.baseline(short, digits, 0, tmp_path, meter)
    baselines.baseline(short, digits, 1, tmp_path, meter)
    baselines.baseline(short, _digits(1), 0, tmp_path, meter)
    baselines.baseline(replace(short, batch_size=64), digits, 0, tmp_path, meter)
    assert len(list(tmp_path.iterdir())) == 4
    assert not meter.said


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "pickled", "other"])
def test_a_corrupt_entry_is_trained_again(digits, short, tmp_path, damage):
    trained = baselines.baseline(short, digits, 0, tmp_path, Silent())
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    if damage == "pickled":
        np.savez(path, np.array([{}], dtype=object))
    elif damage == "other":
        np.savez(path, np.zeros(3))
    else:
        middle = len(whole) // 2
        path.write_bytes(
            {
                "empty": b"",
                "cut": whole[:middle],
                "flipped": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
            }[damage]
        )
    meter = Record()
    _assert_same_weights(trained, baselines.baseline(short, digits, 0, tmp_path, meter))
    assert meter.done == 20
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_a_directory_that_cannot_be_written_costs_a_line(digits, short, tmp_path):
    (tmp_path / "file").write_text("")
    meter = Record()
    model = baselines.baseline(short, digits, 0, tmp_path / "file" / "cache", meter)
    assert model.count_params() == 266_610
    assert "not kept for the next run" in meter.said[0]


@pytest.mark.slow
def test_the_clock_reads_the_time():
    data = zoo.clock_data(0)
    model = baselines.baseline(zoo.example("clock"), data, 0, folders.cache(), Silent())
    found = _accuracies(model, data.test)
    assert found["hour_accuracy"] >= 0.97
    assert found["minute_accuracy"] >= 0.95


@pytest.mark.slow
@pytest.mark.skipif("EDGETT_TEST_DATA" not in os.environ, reason="EDGETT_TEST_DATA names no folder with mnist.npz")
def test_lenet300_reaches_the_accuracy_of_the_paper():
    example = zoo.example("lenet300")
    data = load_data(str(Path(os.environ["EDGETT_TEST_DATA"]) / "mnist.npz"), example.build(), 0)
    model = baselines.baseline(example, data, 0, folders.cache(), Silent())
    assert _accuracies(model, data.test)["accuracy"] >= 0.975


def _accuracies(model, split):
    x, y = feed(model, split.x), wanted(model, split.y)
    return model.evaluate(x, y, batch_size=500, verbose=0, return_dict=True)


def _assert_same_weights(one, other):
    for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
