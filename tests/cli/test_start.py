"""The first contact: help, version, completion, entry points, and what a terminal sees."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize("command", ["targets show cortex-a53 --json", "targets list", "targets list --help"])
def test_reader_that_leaves_early_changes_nothing(command: str) -> None:
    """What is printed, what Rich draws, what Typer draws."""
    with subprocess.Popen(
        [sys.executable, "-m", "edgett", *command.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full", "2> >(true)", "<&- 2>&-"])
def test_nobody_who_listens_stops_no_work(closed: str, tmp_path: Path) -> None:
    code = (
        "import sys, time; from edgett.cli import streams; streams.mend()\n"
        "from edgett.cli.console import Screen\n"
        "screen = Screen(); time.sleep(0.3)\n"
        "with screen.stage('working'): screen.say('said'); print('told', file=sys.stderr)\n"
        "print('done')"
    )
    command = ["bash", "-c", f'"$0" -c "$1" {closed}', sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize("command", ["targets list", "targets list --json", "targets list --help"])
def test_closed_standard_output_changes_nothing(command: str) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" -m edgett "$@" >&-', sys.executable, *command.split()],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["COLUMNS", "LINES", "TERMINAL_WIDTH"])
@pytest.mark.parametrize("size", ["0", "²", "-5", "abc", "100000000"])
def test_sizes_that_no_terminal_has_are_not_believed(name: str, size: str) -> None:
    command = [sys.executable, "-m", "edgett", "targets", "show", "nosuch"]
    done = subprocess.run(command, env=os.environ | {name: size}, capture_output=True, text=True, check=False)

    assert done.returncode == 3 and "nosuch" in done.stderr


def test_characters_that_cannot_be_encoded_are_replaced() -> None:
    code = "import sys; from edgett.cli import streams; streams.mend(); print('8 µs'); print('8 µs', file=sys.stderr)"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "8 ?s\n", "8 ?s\n")


def test_help_flows_and_keeps_its_brackets(edgett: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")

    assert "its picks are the others. A difference that may be noise is called so." in edgett("bench", "--help").out
    assert "The same run gives the same bytes; files" in edgett("firmware", "pack", "--help").out
    assert "Needs edgett[ray]." in edgett("compress", "--help").out


@pytest.mark.slow
def test_terminal_sees_progress_and_no_chatter(tiny: Tiny, tmp_path: Path) -> None:
    """A model that breaks a budget whatever is done: everything but training, on a terminal of its own."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edgett", "compress", *tiny.arguments, "--share", "0.9", "--out", "run", "--json"]
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
        assert process.stdout is not None and json.loads(process.stdout.read())["picks"]["recommended"] is None
    os.close(ours)
    text = seen.decode()

    assert process.returncode == 4
    assert "loading TensorFlow" in text and "\x1b[" in text
    assert "no layer is worth factorising" in text
    for word in ("oneDNN", "tensorflow/", "WARNING", "I0000", "absl", "Traceback"):
        assert word not in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "piped", "moves", "coloured"),
    [
        ({"TERM": "xterm"}, False, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, True, False),
        ({"TERM": "dumb"}, False, False, False),
        ({"TERM": "xterm"}, True, False, False),
        ({"TERM": "xterm", "FORCE_COLOR": "1"}, True, False, True),
    ],
    ids=["terminal", "NO_COLOR", "dumb", "piped", "FORCE_COLOR"],
)
def test_progress_moves_only_on_a_terminal(variables: dict[str, str], piped: bool, moves: bool, coloured: bool) -> None:
    """An error is red, a stage is drawn over again; nothing of either where nobody looks."""
    code = (
        "import sys, time; from edgett.cli.console import Screen; from edgett.errors import ToolError\n"
        "screen = Screen(silent='-q' in sys.argv)\n"
        "with screen.stage('counting [sheep]', 4) as advance:\n"
        "    for _ in range(4): time.sleep(0.15); advance(0); advance(1)\n"
        "screen.say('said'); screen.note('noted')\n"
        "screen.fail(ToolError('broke.', 'Mend it.'))\n"
    )
    environment = {name: text for name, text in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    for quiet in ((), ("-q",)):
        command = [sys.executable, "-c", code, *quiet]
        text = heard(command, environment | variables, piped=piped)

        assert "broke." in text and "Mend it." in text and "noted" not in text
        assert ("said" in text) == ("counting [sheep]" in text) == (not quiet)
        assert ("\x1b[2K" in text or "\r" in text.replace("\r\n", "")) == (moves and not quiet)
        assert ("\x1b[31m" in text) == coloured
        assert ("\x1b" in text) == (coloured or (moves and not quiet))


def heard(command: list[str], environment: dict[str, str], *, piped: bool) -> str:
    """What a process says on standard error, on a pipe or a terminal of its own."""
    if piped:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.stderr
    ours, theirs = pty.openpty()
    seen = b""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment):
        os.close(theirs)
        try:
            while chunk := os.read(ours, 4096):
                seen += chunk
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    return seen.decode()


@pytest.mark.parametrize("library", ["rich", "typer"])
def test_a_library_that_is_gone_is_named(library: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; sys.argv = ['edgett', 'doctor']; import edgett.cli as cli"
    code += "; cli.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr == f"error: {library} is not installed.\nInstall edgett again: pip install edgett\n"
