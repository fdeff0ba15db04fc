"""The first contact: help, version, completion, entry points, and what a terminal sees."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import Answer, Tiny

Call = Callable[..., Answer]
COMMANDS = ("compress", "explore", "export", "check", "targets list", "targets show", "targets check")


def test_alone_it_shows_the_help(edgett: Call) -> None:
    answer = edgett()

    assert (answer.code, answer.err) == (0, "")
    assert all(command.split()[0] in answer.out for command in COMMANDS)
    assert edgett("targets").out.count("list") >= 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(edgett: Call, command: str) -> None:
    answer = edgett(*command.split(), "--help")

    assert answer.code == 0
    assert f"edgett {command} " in answer.out.replace("\n", " ").replace("edgett targets list", "edgett targets list ")


def test_version(edgett: Call) -> None:
    assert edgett("--version").out == f"edgett {version('edgett')}\n"


def test_python_m() -> None:
    done = subprocess.run([sys.executable, "-m", "edgett", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout == f"edgett {version('edgett')}\n"


def test_target_names_are_completed() -> None:
    environment = os.environ | {
        "_EDGETT_COMPLETE": "complete_bash", "COMP_WORDS": "edgett compress --target cortex-a", "COMP_CWORD": "3",
    }  # fmt: skip
    script = Path(sys.executable).with_name("edgett")
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)

    assert done.stdout.split() == ["cortex-a53", "cortex-a7", "cortex-a72"]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("frobnicate",), "frobnicate"), (("--frobnicate",), "--frobnicate"), (("targets", "show"), "'name'")],
)
def test_wrong_usage(edgett: Call, arguments: tuple[str, ...], told: str) -> None:
    answer = edgett(*arguments)

    assert answer.code == 2
    assert told in answer.err and "--help'" in answer.err


def test_reader_that_leaves_early_causes_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "edgett", "targets", "show", "cortex-a53", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


def test_terminal_sees_progress_and_no_chatter(tiny: Tiny, tmp_path: Path) -> None:
    """A model that cannot be factorised: everything up to there, on a terminal of its own."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edgett", "compress", *tiny.arguments, "--share", "0.9", "--out", "run"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, env=os.environ | {"TERM": "xterm"}
    ) as process:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 4096):
                seen += chunk
        except OSError:  # the other end is closed
            pass
        assert process.stdout is not None and process.stdout.read() == b""
    os.close(ours)
    text = seen.decode()

    assert process.returncode == 3
    assert "loading TensorFlow" in text and "\x1b[" in text
    assert "no fully connected layer is worth factorising" in text
    for word in ("oneDNN", "tensorflow/", "WARNING", "I0000", "absl", "Traceback"):
        assert word not in text
