"""`--augment`: functions and layers, the same for the same draw, and what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgett.errors import UsageError
from edgett.train.augment import Augmentation, Called, read_augmentation
from tests.train.conftest import model_of

L = keras.layers
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
NUMBERS = np.random.default_rng(1).normal(size=(12, 4)).astype(np.float32)


def layers(path: Path, *some: Any, shape: tuple[int, ...] = (8, 8, 3)) -> str:
    keras.Sequential([keras.Input(shape), *some]).save(path / "altering.keras")
    return str(path / "altering.keras")


def read(spec: str, array: np.ndarray) -> Augmentation:
    return read_augmentation(spec, model_of(array.shape[1:]), {"image": array})


def written(folder: Path, name: str, body: str) -> str:
    """A module of that name in the working directory, and its function as --augment names it."""
    (folder / f"{name}.py").write_text(f"import numpy as np\n{body}\n")
    return f"{name}:f"


def of(function: Callable[..., Any]) -> Augmentation:
    return Augmentation("mine:f", Called(__name__, function))


def test_layers_alter_as_in_training_and_by_the_draw_alone(tmp_path: Path) -> None:
    spec = layers(tmp_path, L.RandomFlip("horizontal"), L.RandomTranslation(0.2, 0.2, fill_mode="constant"))
    altered = read(spec, IMAGES)
    first, again, other = (
        altered({"image": IMAGES.copy()}, draw)["image"] for draw in ((3, 1, 2), (3, 1, 2), (3, 1, 3))
    )
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.uint8 and (first != other).any() and (first != IMAGES).any()
    sent = pickle.loads(pickle.dumps(altered))
    np.testing.assert_array_equal(sent({"image": IMAGES.copy()}, (3, 1, 2))["image"], first)


def test_whole_numbers_stay_whole_and_inside_their_type(tmp_path: Path) -> None:
    spec = layers(tmp_path, L.RandomBrightness(1.0, value_range=(-300, 600)))
    made = read(spec, IMAGES)({"image": IMAGES.copy()}, (0,))["image"]
    assert made.dtype == np.uint8 and {0, 255} & {int(made.min()), int(made.max())}


@pytest.mark.parametrize(
    "function",
    [
        lambda x, random: (x + random.normal(size=x.shape)).astype(x.dtype),
        lambda x: (x + np.random.normal(size=x.shape)).astype(x.dtype),
        lambda x: x + keras.random.normal(x.shape),
    ],
)
def test_a_function_draws_by_the_draw_alone(function: Callable[..., Any]) -> None:
    """From a generator that it is given, or from those that all share, which go on as they were."""
    state = np.random.get_state()[1].copy()
    found = [of(function)({"x": NUMBERS.copy()}, draw)["x"] for draw in ((0, 0, 1), (0, 0, 2), (0, 0, 1))]
    np.testing.assert_array_equal(found[0], found[2])
    assert (found[0] != found[1]).all()
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_of_several_inputs_a_function_gets_a_dict() -> None:
    def f(x: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
        return {"b": x["b"], "a": -x["a"]}

    made = of(f)({"a": NUMBERS.copy(), "b": NUMBERS[:, :2]}, (0,))
    assert list(made) == ["a", "b"]
    np.testing.assert_array_equal(made["a"], -NUMBERS)


@pytest.mark.parametrize(
    ("function", "message", "cure"),
    [
        (lambda x: x[:, :2], r"makes \(8, 2\) of input 'x', which is \(8, 4\)", "of the same shape"),
        (lambda x: x[:5], r"makes \(5, 4\) of input 'x'", "of the same shape"),
        (lambda x: x.astype(np.float64), "makes float64 of input 'x', which is float32", r"\.astype\('float32'\)"),
        (lambda x: x / 0, "infinite or nan", "division by zero"),
        (lambda x: {"y": x}, "gives the inputs y", "The model's are x: return a dict"),
        (lambda x: None, r"makes \(\) of input 'x'", "a batch"),
        (lambda x: x.nothing, "failed: AttributeError", "Call it on its own"),
        (lambda x: np.roll(x, len(x) - 8) if len(x) == 8 else x[1:], r"makes \(0, 4\)", "of the same shape"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_what_the_model_takes_is_refused(function: Any, message: str, cure: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        of(function).tried({"x": NUMBERS})
    assert caught.match(cure) and "--augment mine:f" in caught.value.message


def test_a_function_with_a_generator_of_its_own_is_refused() -> None:
    own = np.random.default_rng(0)
    with pytest.raises(UsageError, match=r"in another way each time.*numpy\.random\.Generator"):
        of(lambda x: (x + own.normal(size=x.shape)).astype(x.dtype)).tried({"x": NUMBERS})


def test_several_inputs_need_a_dict_of_all() -> None:
    both = {"a": NUMBERS, "b": NUMBERS}
    with pytest.raises(UsageError, match="gives ndarray, not a dict of the model's 2 inputs"):
        of(lambda x: x["a"]).tried(both)
    with pytest.raises(UsageError, match=r"gives the inputs a\..*The model's are a, b"):
        of(lambda x: {"a": x["a"]}).tried(both)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere_at_all:f", "module 'nowhere_at_all' of --augment nowhere_at_all:f cannot be imported"),
        ("math:nothing", "module 'math' has no function 'nothing'"),
        ("math:pi", "module 'math' has no function 'pi'"),
        ("gone.keras", "--augment gone.keras: there is no such file"),
        ("flip", "--augment flip: there is no such file"),
    ],
)
def test_what_is_not_there(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read(spec, NUMBERS)
    assert "package.module:function, or a .keras file" in caught.value.cure


def test_a_function_without_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="takes no argument"):
        read(written(tmp_path, "augment_nothing", "def f():\n    return 0"), NUMBERS)


def test_a_function_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = "def f(x, random):\n    return x[:, ::-1] if random.random() < 0.5 else x"
    found = read(written(tmp_path, "augment_mirror", body), NUMBERS)
    made = [found({"image": NUMBERS.copy()}, (0, 0, batch))["image"] for batch in range(16)]
    mirrored = [np.array_equal(one, NUMBERS[:, ::-1]) for one in made]
    assert 0 < sum(mirrored) < 16 and len(found.way.digest) == 64


@pytest.mark.parametrize(
    ("some", "message"),
    [
        ((L.Dense(3),), "a Dense, is none of Keras's preprocessing layers"),
        ((L.RandomFlip(), L.Rescaling(1 / 255)), "a Rescaling, makes inputs of another scale"),
        ((L.CenterCrop(4, 4),), r"makes \(8, 4, 4, 3\) of input 'image', which is \(8, 8, 8, 3\)"),
    ],
)
def test_layers_that_are_no_augmentation(tmp_path: Path, some: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(layers(tmp_path, *some), IMAGES)


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "empty.keras").write_bytes(b"")
    with pytest.raises(UsageError, match=r"--augment .*empty\.keras: .* is empty"):
        read(str(tmp_path / "empty.keras"), IMAGES)


def test_layers_are_for_models_of_one_input(tmp_path: Path, two_by_two: keras.Model) -> None:
    spec = layers(tmp_path, L.GaussianNoise(0.1), shape=(4,))
    with pytest.raises(UsageError, match="the model has 2 inputs: a, b"):
        read_augmentation(spec, two_by_two, {"a": NUMBERS, "b": NUMBERS[:, :2]})
