"""Emulated devices: what an inference gives there, how many instructions it takes, and what is told when it fails."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from edgett.device import emulator, local
from edgett.device.emulated import programs, sysroot
from edgett.device.emulator import Counted
from edgett.device.program import Program
from edgett.errors import DataError, ToolError
from edgett.export import c
from edgett.graph.wire import WirePort
from edgett.model.tt_dense import TTDense
from tests.export import test_int8
from tests.export.compiled import templates_are_compiled_once  # noqa: F401
from tests.export.exported import ONNX, TFLITE, export, exported, lively
from tests.firmware.tools import needs

LINUX = ("qemu-aarch64", "gcc", "apt-get", "dpkg-deb")
CPU = "cortex-a53"
NUMBERS = np.random.default_rng(5)
PIXELS = {"image": NUMBERS.normal(size=(3, 784)).astype("f4")}
BARE = needs("qemu-system-arm", "arm-none-eabi-gcc")


def network(tt: bool) -> keras.Model:
    """784-300-10, its first layer dense or of two cores."""
    pixels = keras.Input((784,), name="image")
    train = TTDense((28, 28), (15, 20), (1, 4, 1), activation="relu", name="fc")
    hidden = (train if tt else keras.layers.Dense(300, activation="relu", name="fc"))(pixels)
    return lively(keras.Model(pixels, keras.layers.Dense(10, name="out")(hidden)))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dense and tt, each as .tflite and .onnx."""
    folder = tmp_path_factory.mktemp("emulated")
    for tt in (False, True):
        model = network(tt)
        for form in (TFLITE, ONNX):
            export(model, form, 1, folder / f"{'tt' if tt else 'dense'}{form.suffix}")
    return folder


@pytest.fixture(scope="module")
def arm64() -> None:
    """A Python for arm64, fetched when this machine has none yet."""
    try:
        sysroot.prepared()
    except ToolError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(error.message)


@pytest.fixture(scope="module")
def tflites(files: Path, arm64: None) -> dict[str, Counted]:
    return {name: emulator.count(files / f"{name}.tflite", PIXELS, CPU) for name in ("dense", "tt")}


def same(made: Counted, artefact: Path) -> None:
    expected = local.run(artefact, PIXELS, 1)
    assert made.outputs.keys() == expected.keys()
    for name, found in made.outputs.items():
        # float32 sums in another order
        np.testing.assert_allclose(found, expected[name], rtol=1e-4, atol=1e-4 * np.abs(expected[name]).max())


@pytest.mark.slow
@needs(*LINUX)
@pytest.mark.parametrize("name", ["dense", "tt"])
def test_outputs_on_arm64_are_those_of_this_machine(tflites: dict[str, Counted], files: Path, name: str) -> None:
    made = tflites[name]
    same(made, files / f"{name}.tflite")
    assert made.emulator.startswith("QEMU ") and made.emulator.endswith("-cpu cortex-a53")
    assert made.runtime == "LiteRT 1.4.0"


@pytest.mark.slow
@needs(*LINUX)
def test_a_tensor_train_executes_fewer_instructions(tflites: dict[str, Counted]) -> None:
    dense, tt = tflites["dense"], tflites["tt"]
    assert tt.instructions < 0.7 * dense.instructions
    # Four multiplications a SIMD instruction at the most; Python's call is in the count.
    assert dense.instructions > 784 * 300 / 4
    assert max(dense.spread, tt.spread) < 0.02 * tt.instructions


@needs(*LINUX)
@pytest.mark.slow
def test_a_count_is_the_same_again(tflites: dict[str, Counted], files: Path) -> None:
    again = emulator.count(files / "tt.tflite", PIXELS, CPU)
    assert abs(again.instructions - tflites["tt"].instructions) <= 50


@needs(*LINUX)
@pytest.mark.slow
def test_onnx_runtime_runs_on_arm64_too(files: Path, arm64: None) -> None:
    made = emulator.count(files / "tt.onnx", PIXELS, "cortex-a72")
    same(made, files / "tt.onnx")
    assert made.runtime.startswith("ONNX Runtime ") and made.instructions > 10_000


@needs(*LINUX)
@pytest.mark.slow
def test_a_batch_is_filled(tmp_path: Path, arm64: None) -> None:
    model = network(tt=True)
    export(model, TFLITE, 2, tmp_path / "two.tflite")
    made = emulator.count(tmp_path / "two.tflite", PIXELS, CPU)
    expected = local.run(tmp_path / "two.tflite", PIXELS, 2)
    for name, found in made.outputs.items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-4, atol=1e-4 * np.abs(expected[name]).max())


@needs(*LINUX)
@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_names_that_no_file_would_bear(arm64: None, suffix: str) -> None:
    made = exported("named", suffix, 1)
    given = made.samples(2)
    found = emulator.count(made.path, given, CPU).outputs
    expected = local.run(made.path, given, 1)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-5)


@needs(*LINUX)
@BARE
@pytest.mark.slow
def test_int8_files_take_and_give_real_numbers(arm64: None) -> None:
    for suffix in (".tflite", ".onnx"):
        path = test_int8.exported("tensor trains", suffix).path
        given = {"my-input": NUMBERS.normal(size=(4, 24)).astype("f4")}
        expected = local.run(path, given, 1)
        runs = [emulator.count(path, given, CPU)]
        if suffix == ".onnx":
            runs.append(emulator.count_on_board(generated(path), given, "mps2-an386"))
        for made in runs:
            for name, found in made.outputs.items():
                # A probability in steps of 1/256; kernels round half-way sums differently.
                np.testing.assert_allclose(found, expected[name], atol=3 / 256)


@needs(*LINUX)
@pytest.mark.usefixtures("arm64")
def test_what_fails_on_arm64_is_told(files: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cortex-x99") as told:
        emulator.count(files / "tt.tflite", PIXELS, "cortex-x99")
    assert "-cpu help" in told.value.cure
    with pytest.raises(ToolError, match=r"ran more than 0\.5 s"):
        emulator.count(files / "tt.tflite", PIXELS, CPU, 0.5)
    with pytest.raises(ToolError, match=r"none\.onnx cannot be read"):
        emulator.count(tmp_path / "none.onnx", PIXELS, CPU)


@needs(*LINUX)
@pytest.mark.slow
@pytest.mark.usefixtures("arm64")
def test_a_broken_file_and_wrong_inputs_are_told(files: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"no model")
    with pytest.raises(ToolError, match=r"emulated program failed.*(Mmap|identifier|flatbuffer)"):
        emulator.count(tmp_path / "broken.tflite", PIXELS, CPU)
    with pytest.raises(ToolError, match=r"emulated program failed.*KeyError: 'image'"):
        emulator.count(files / "tt.tflite", {"pixels": PIXELS["image"]}, CPU)


def test_what_is_no_artefact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"\.keras is no kind of file"):
        emulator.count(tmp_path / "a.keras", PIXELS, CPU)
    with pytest.raises(DataError, match="samples"):
        emulator.count(tmp_path / "a.onnx", {"image": np.zeros((0, 784))}, CPU)


def loop(rounds: int, text: str = "1: subs %0, %0, #1; bne 1b") -> Program:
    """y = 2 x after so many rounds of two instructions."""
    head = "void spin_run(const float *x, float *y);\n"
    code = f'#include "spin.h"\nvoid spin_run(const float *x, float *y) {{\n    unsigned n = {rounds}u;\n'
    code += f'    __asm volatile("{text}" : "+r"(n) : : "cc");\n    y[0] = 2.0f * x[0];\n    y[1] = 2.0f * x[1];\n}}\n'
    return Program(
        "spin", head, code, (WirePort("in", "x", (1, 2), "float32"),), (WirePort("out", "y", (1, 2), "float32"),)
    )


PAIRS = {"in": np.arange(6, dtype="f4").reshape(3, 2)}
AROUND = 100
"""Instructions that call the loop and copy two numbers, which without an FPU takes the most."""


@BARE
@pytest.mark.parametrize("machine", emulator.BOARDS)
def test_a_board_counts_what_a_loop_executes(machine: str) -> None:
    for rounds in (10, 5_000_000):
        made = emulator.count_on_board(loop(rounds), PAIRS, machine)
        # A tick is at most 50 instructions, of 800 000 or more.
        assert 2 * rounds * (1 - 1e-4) <= made.instructions <= 2 * rounds * (1 + 1e-4) + AROUND
        np.testing.assert_array_equal(made.outputs["out"], 2 * PAIRS["in"])
    assert machine in made.emulator


@BARE
@pytest.mark.slow
def test_a_counter_of_24_bits_goes_on() -> None:
    rounds = 1_100_000_000
    made = emulator.count_on_board(loop(rounds), {"in": PAIRS["in"][:1]}, "mps2-an386")
    assert abs(made.instructions - 2 * rounds) <= 1e-4 * rounds


LOOPS = {
    ("qemu-aarch64", "cortex-a53"): "1: subs %w0, %w0, #1; b.ne 1b",
    ("qemu-arm", "cortex-a7"): "1: subs %0, %0, #1; bne 1b",
    ("qemu-riscv64", "rv64"): "1: addiw %0, %0, -1; bnez %0, 1b",
}


@pytest.mark.parametrize(
    ("qemu", "cpu"),
    [pytest.param(*key, marks=needs(key[0], emulator.COMPILERS[key[0]], "gcc"), id=key[0]) for key in LOOPS],
)
def test_a_processor_with_linux_counts_what_a_loop_executes(qemu: str, cpu: str) -> None:
    rounds = 100_000
    made = emulator.count_c(loop(rounds, LOOPS[qemu, cpu]), PAIRS, qemu, cpu)
    assert 2 * rounds <= made.instructions <= 2 * rounds + AROUND and made.spread == 0
    np.testing.assert_array_equal(made.outputs["out"], 2 * PAIRS["in"])
    assert made.emulator.endswith(f"-cpu {cpu}")


def generated(path: Path) -> Program:
    made = c.generate(path, "net", "1")
    return Program(made.name, made.header, made.code, made.inputs, made.outputs)


@pytest.mark.slow
@BARE
@needs("qemu-riscv64", "riscv64-linux-gnu-gcc", "gcc")
def test_a_network_in_c_says_the_same_everywhere(files: Path) -> None:
    sources = {name: generated(files / f"{name}.onnx") for name in ("dense", "tt")}
    board = {name: emulator.count_on_board(one, PIXELS, "mps2-an386") for name, one in sources.items()}
    for name, made in board.items():
        same(made, files / f"{name}.onnx")
        linux = emulator.count_c(sources[name], PIXELS, "qemu-riscv64", "rv64")
        same(linux, files / f"{name}.onnx")
        # Two ways to count, two instruction sets: the same work, but the board loads four weights at once.
        assert 1 < linux.instructions / made.instructions < 3
    assert board["tt"].instructions < 0.7 * board["dense"].instructions
    assert emulator.count_on_board(sources["tt"], PIXELS, "mps2-an386").instructions == board["tt"].instructions


@BARE
def test_several_inputs_and_outputs_in_c() -> None:
    made = exported("shared", ".onnx", 1)
    given = made.samples(3)
    found = emulator.count_on_board(generated(made.path), given, "mps2-an500").outputs
    expected = local.run(made.path, given, 1)
    assert found.keys() == expected.keys() and len(found) == 3
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-5)


@BARE
def test_what_fails_on_a_board_is_told() -> None:
    with pytest.raises(ToolError, match="microbit is no Cortex-M board") as told:
        emulator.count_on_board(loop(1), PAIRS, "microbit")
    assert "mps2-an386" in told.value.cure
    with pytest.raises(ToolError, match="fault of the processor"):
        emulator.count_on_board(loop(1, "udf #0"), PAIRS, "mps2-an386")
    with pytest.raises(ToolError, match="ran more than 1 s"):
        emulator.count_on_board(loop(1, "1: b 1b"), PAIRS, "mps2-an386", 1)
    text = f'{loop(1).code}const volatile char large[{5 << 20}] __attribute__((section(".vectors"), used)) = {{1}};\n'
    with pytest.raises(ToolError, match="overflowed") as told:
        emulator.count_on_board(replace(loop(1), code=text), PAIRS, "mps2-an386")
    assert "memory" in told.value.cure


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ToolError, match="qemu-sparc is no processor with Linux"):
        emulator.count_c(loop(1), PAIRS, "qemu-sparc", "any")
    with pytest.raises(DataError, match="the model takes in"):
        emulator.count_on_board(loop(1), PIXELS, "mps2-an386")
    with pytest.raises(DataError, match=r"samples of in are \(5,\)") as told:
        emulator.count_on_board(loop(1), {"in": np.zeros((2, 5))}, "mps2-an386")
    assert told.value.cure == "The model takes (2,)."
    with pytest.raises(DataError, match="as many for each input"):
        emulator.count_on_board(loop(1), PAIRS | {"other": np.zeros((2, 1))}, "mps2-an386")


@needs("qemu-aarch64", "aarch64-linux-gnu-gcc", "gcc")
def test_a_crash_is_told_by_its_signal() -> None:
    with pytest.raises(ToolError, match=r"failed on qemu-aarch64 -cpu cortex-a53.*signal"):
        emulator.count_c(loop(1, "brk #1"), PAIRS, "qemu-aarch64", CPU)


@needs("qemu-aarch64", "gcc")
def test_the_api_that_an_emulator_wants_is_understood(tmp_path: Path) -> None:
    refused = programs.start(["qemu-aarch64", "-plugin", programs.plugin(tmp_path, 99), "/bin/true"], tmp_path, 60)
    assert refused.returncode and 1 <= (programs.other_api(refused.stdout) or 0) < 99
    assert programs.other_api("another fault") is None


@needs("qemu-aarch64", "aarch64-linux-gnu-gcc", "gcc")
def test_an_emulator_that_wants_another_api_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "OLDEST", 99)
    assert emulator.count_c(loop(9, LOOPS["qemu-aarch64", CPU]), PAIRS, "qemu-aarch64", CPU).instructions >= 18


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for call, package in (
        (lambda: emulator.count(files / "tt.tflite", PIXELS, CPU), "qemu-user"),
        (lambda: emulator.count_c(loop(1), PAIRS, "qemu-riscv64", "rv64"), "gcc-riscv64-linux-gnu"),
        (lambda: emulator.count_on_board(loop(1), PAIRS, "mps2-an386"), "gcc-arm-none-eabi"),
    ):
        with pytest.raises(ToolError, match="is not installed") as told:
            call()
        assert told.value.cure.startswith(f"apt-get install {package}")


class TestPreparing:
    @pytest.fixture(autouse=True)
    def elsewhere(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("EDGETT_CACHE_DIR", str(tmp_path / "cache"))

    def tool(self, folder: Path, name: str, script: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    def test_no_mirror(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.tool(tmp_path / "bin", "apt-get", "echo 'E: no mirror'; exit 100")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        with pytest.raises(ToolError, match="apt-get failed: E: no mirror") as told:
            sysroot.prepared()
        assert str(sysroot.folder()) in told.value.cure and sysroot.WHEELS[0] in told.value.cure
        assert list((tmp_path / "cache" / "emulated").iterdir()) == []

    def test_no_wheels(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("apt-get", "dpkg-deb"):
            self.tool(tmp_path / "bin", name, "exit 0")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        with pytest.raises(ToolError, match="ai-edge-litert==1") as told:
            sysroot.prepared()
        assert "pip" in told.value.cure and not sysroot.folder().exists()

    def test_no_room(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("a file")
        with pytest.raises(ToolError, match="no Python for arm64 can be unpacked") as told:
            sysroot.prepared()
        assert "EDGETT_CACHE_DIR" in told.value.cure

    def test_what_a_program_finds_is_one_processor_of_the_kind(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        (root / "usr").mkdir(parents=True)
        made = sysroot.dressed(root, "cortex-a72", tmp_path / "dressed")
        assert "CPU part\t: 0xd08\n" in (made / "proc/cpuinfo").read_text()
        assert (made / "sys/devices/system/cpu/possible").read_text() == "0\n"
        assert (made / "usr").resolve() == (root / "usr").resolve()
