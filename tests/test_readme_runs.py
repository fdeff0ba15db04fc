"""The README's blocks, run from top to bottom as they stand, in the folder of somebody who has a model and data.

Each block goes on with what those before it left, so that one alone has nothing to stand on.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import schemas
from tests.device import sshd
from tests.firmware import chips
from tests.readme import BLOCKS, README, TRY_IT, Block, block_with

BIN = Path(sys.executable).parent
EXAMPLES = os.environ.get("EDGETT_TEST_DATA")


@dataclass
class Place:
    """The reader's folder, the environment of his shell, and the names that his Python knows."""

    folder: Path
    environment: dict[str, str]
    names: dict[str, Any] = field(default_factory=dict)

    def shell(self, line: str, folder: str = ".") -> str:
        """What the line prints."""
        # Two lines, or bash would become the command, and nothing could tell that it was started from a shell.
        done = subprocess.run(
            ["bash", "-c", f"{line}\nexit $?"],
            cwd=self.folder / folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """With model.keras and data.npz, mnist.npz where there is one, and a raspberrypi behind ssh where there is sshd."""
    from platformdirs import user_cache_dir

    folder = tmp_path_factory.mktemp("reader")
    for name in ("home", "tmp", "bin", "targets", "project", "build"):
        (folder / name).mkdir()
    trained(folder)
    for name in ("model.keras", "data.npz"):
        shutil.copy(folder / name, folder / "project")
    if EXAMPLES:
        (folder / "mnist.npz").symlink_to(Path(EXAMPLES) / "mnist.npz")
    environment = {
        **os.environ, "PATH": f"{folder / 'bin'}:{BIN}:{os.environ['PATH']}", "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"), "EDGETT_CACHE_DIR": os.environ.get("EDGETT_CACHE_DIR", user_cache_dir("edgett")),
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        if shutil.which("ssh") and Path(sshd.SSHD).exists():
            stack.enter_context(device(folder))
        yield Place(folder, environment)


@contextlib.contextmanager
def device(folder: Path) -> Iterator[None]:
    """A host that ssh calls raspberrypi, whose python3 has the runtimes."""
    keys = folder / "sshd"
    keys.mkdir()
    # The shell there may begin with a PATH of its own.
    run = f'export PATH={BIN}:$PATH; eval "$SSH_ORIGINAL_COMMAND"'
    with sshd.serving(keys, f"SetEnv TMPDIR={folder / 'tmp'}\nForceCommand {run}\n") as server:
        config = server.config.read_text().replace("Host device\n", "Host raspberrypi\n", 1)
        server.config.write_text(config)
        client = folder / "bin" / "ssh"
        client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {server.config} "$@"\n')
        client.chmod(0o755)
        yield


def trained(folder: Path) -> None:
    """A model 256-128-10 that tells ten seeded patterns apart, and its data."""
    from edgett.model import ports

    keras = ports.keras
    random = np.random.default_rng(0)
    patterns = random.normal(size=(10, 16, 16, 1))
    arrays = {}
    for part, count in (("train", 2000), ("test", 500)):
        y = np.arange(count) % 10
        x = patterns[y] + 2 * random.normal(size=(count, 16, 16, 1))
        arrays |= {f"x_{part}": x.astype(np.float32), f"y_{part}": y}
    keras.utils.set_random_seed(1)
    layers = [keras.Input((16, 16, 1), name="image"), keras.layers.Flatten()]
    layers += [keras.layers.Dense(128, activation="relu", name="wide")]
    layers += [keras.layers.Dense(10, activation="softmax", name="digit")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(arrays["x_train"], arrays["y_train"], epochs=5, batch_size=64, verbose=0)
    model.save(folder / "model.keras")
    np.savez(folder / "data.npz", **arrays)


def need(*programs: str) -> None:
    """Skip without the programs, as tests.firmware.tools.needs does."""
    missing = [program for program in programs if not shutil.which(program) and not Path(program).exists()]
    if missing and os.environ.get("CI") != "true":
        pytest.skip(f"{', '.join(missing)} not installed")


NEEDS = (
    ("ssh://", ("ssh", sshd.SSHD)),
    ("--device emulator", ("qemu-aarch64", "gcc", "apt-get")),
    ("firmware size", ("arm-none-eabi-gcc", "cmake")),
)


def run_shell(block: Block, place: Place) -> None:
    skipped = []
    for line in block.commands:
        if "mnist.npz" in line and not EXAMPLES:
            skipped.append("EDGETT_TEST_DATA names no folder with mnist.npz")
        elif missing := [p for text, programs in NEEDS if text in line for p in programs if not here(p)]:
            skipped.append(f"{', '.join(missing)} not installed")
        else:
            if "firmware size" in line:
                link(place)
            look(line, place.shell(line), place.folder)
    if skipped:
        assert os.environ.get("CI") != "true" or "EDGETT_TEST_DATA" in skipped[0], skipped
        pytest.skip("; ".join(skipped))


def here(program: str) -> bool:
    return shutil.which(program) is not None or Path(program).exists()


def look(line: str, said: str, folder: Path) -> None:
    """Whether a command did what it is there for."""
    words = shlex.split(line, comments=True)
    for option, value in itertools.pairwise(words):
        if option in ("--out", "--plot"):
            assert (folder / value).exists(), value
    if schemas.prints_json(words[1:]):
        schemas.hold_answer(words[1:], json.loads(said))
    if words[1] == "compress":
        path = re.search(r"runs/[\w.-]+", said)
        newest = max((folder / "runs").glob("*/run.json"), key=lambda path: path.stat().st_mtime)
        outcome = json.loads(newest.read_text())["outcome"]
        assert outcome["check"]["ok"] and outcome["picks"]["recommended"], path
    if words[1] == "bench":
        assert "recommended" in said
    if words[:3] == ["edgett", "targets", "list"]:
        assert "cortex-m4" in said


def link(place: Place) -> None:
    """The reader's firmware for a Cortex-M4."""
    elf = chips.build([place.folder / "firmware" / "digits"], chips.M4, place.folder / "cross")
    shutil.copy(elf, place.folder / "build" / "app.elf")


def run_python(block: Block, place: Place) -> None:
    """Where it asks files of several formats about one image, their answers agree."""
    with contextlib.chdir(place.folder):
        exec(compile(block.text, f"README.md:{block.line}", "exec"), place.names)
    answers = [place.names.pop(name) for name in ("digit", "digit_tflite", "digit_onnx") if name in place.names]
    assert len(answers) == (3 if "onnxruntime" in block.text else 1 if "digit" in block.text else 0)
    for answer in answers:
        assert np.shape(answer) == (1, 10)
        np.testing.assert_allclose(np.sum(answer), 1, atol=0.05)
        np.testing.assert_allclose(answer, answers[0], atol=1e-4)


def run_toml(block: Block, place: Place) -> None:
    """A profile, which the next command checks, or a project."""
    if "[memory]" in block.text:
        (name,) = re.findall(r'^name = "(.+?)"', block.text, re.MULTILINE)
        (place.folder / "targets" / f"{name}.toml").write_text(block.text)
    else:
        (place.folder / "project" / "edgett.toml").write_text(block.text)
        place.shell("edgett compress", "project")
        assert (place.folder / "project" / "runs" / "model-cortex-m4-1" / "report.html").is_file()


def run_cmake(block: Block, place: Place) -> None:
    need("cmake", "gcc")
    (place.folder / "project" / "CMakeLists.txt").write_text(block.text)
    (place.folder / "project" / "main.c").write_text(block_with("c").text)
    place.shell("cmake -B build && cmake --build build", "project")


def run_c(block: Block, place: Place) -> None:
    """That the CMake project has built."""
    need("cmake", "gcc")
    place.shell("build/app", "project")


TFLM = """
#pragma once
#include <cstddef>
#include <cstdint>
// As tflite-micro declares them, with no more than the README uses; the operators are those of digits_ops.h.
enum TfLiteStatus {{ kTfLiteOk = 0, kTfLiteError = 1 }};
struct TfLiteTensor {{ union {{ int8_t* int8; float* f; }} data; }};
namespace tflite {{
struct Model;
const Model* GetModel(const void* buffer);
class MicroOpResolver {{}};
template <unsigned int count> class MicroMutableOpResolver : public MicroOpResolver {{
 public:
{operators}
}};
class MicroInterpreter {{
 public:
  MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t* arena, size_t bytes, void* = nullptr);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor* input(size_t);
  TfLiteTensor* output(size_t);
}};
}}
"""


def run_cpp(block: Block, place: Place) -> None:
    """It compiles beside the package, against declarations: the library itself is nobody's package."""
    need("g++")
    package, folder = place.folder / "firmware" / "digits-tflm" / "include", place.folder / "cpp"
    methods = re.findall(r"resolver\.(Add\w+)\(\)", (package / "digits_ops.h").read_text())
    text = TFLM.format(operators="\n".join(f"  TfLiteStatus {name}();" for name in methods))
    for name in re.findall(r"tensorflow/\S+\.h", block.text):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('#include "declared.h"\n')
    (folder / "declared.h").write_text(text)
    (folder / "main.cc").write_text(block.text)
    place.shell(f"g++ -std=c++14 -Wall -Wextra -Werror -I. -I{package} -c main.cc", "cpp")


RUNNERS: dict[str, Callable[[Block, Place], None]] = {
    "sh": run_shell, "python": run_python, "toml": run_toml, "cmake": run_cmake, "c": run_c, "cpp": run_cpp,
}  # fmt: skip
LANGUAGES = {*RUNNERS, "bibtex"}
"""The last is read by test_readme."""


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("block", [one for one in BLOCKS if one is not TRY_IT and one.language in RUNNERS], ids=str)
def test_it_runs_as_it_stands(block: Block, place: Place) -> None:
    RUNNERS[block.language](block, place)


@pytest.mark.slow
def test_a_run_holds_what_the_table_says(place: Place) -> None:
    """After all of it, so with benchmarks."""
    there = {
        re.sub(r"^bench-.*", "bench-<device>.json", path.name) + "/" * path.is_dir()
        for path in (place.folder / "runs" / "model-cortex-a53-1").glob("[!.]*")
    }
    rows = re.findall(r"^\| ((?:`[\w./<>-]+` )+)\|", README, re.MULTILINE)
    told = [name for row in rows for name in re.findall(r"`(.+?)`", row)]
    assert sorted(there - {"exports/"}) == sorted(told)
