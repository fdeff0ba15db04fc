"""What runs quietly prints nothing, from Python or from C."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import warnings

import pytest

from edgett.system.quiet import quiet

C = ctypes.CDLL(None)


def noise(word: str) -> None:
    print(word)
    print(word, file=sys.stderr)
    os.write(1, word.encode())
    os.write(2, word.encode())
    C.printf(b"%s", word.encode())
    logging.getLogger("noise").warning(word)
    warnings.warn(word, stacklevel=1)


def test_nothing_gets_through(capfd: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with quiet():
        noise("inner")
        with quiet():
            noise("deeper")
        noise("inner again")
    assert (sys.stdout, sys.stderr) == before
    print("after")
    os.write(2, b"afterwards")
    C.printf(b"in C")
    C.fflush(None)
    out, err = capfd.readouterr()
    assert sorted(out.split()) == sorted("after in C".split()) and err == "afterwards"


def test_what_was_printed_before_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    C.printf(b"before")
    with quiet():
        noise("inner")
    assert capfd.readouterr().out == "before"


def test_an_old_stream_keeps_nothing_back(capfd: pytest.CaptureFixture[str]) -> None:
    old = sys.stdout
    with quiet():
        old.write("buffered")
    old.flush()
    # What pytest puts in place of the stream may write through a descriptor of its own.
    assert capfd.readouterr().err == ""


def test_errors_pass_and_the_streams_come_back(capfd: pytest.CaptureFixture[str]) -> None:
    level = logging.root.manager.disable
    with pytest.raises(KeyError, match="mine"), quiet():
        raise KeyError("mine")
    assert logging.root.manager.disable == level
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)
    print("loud")
    assert capfd.readouterr().out == "loud\n"


def test_a_process_of_its_own_prints_only_what_is_loud() -> None:
    code = (
        "import ctypes, logging, os, sys, warnings; from edgett.system.quiet import quiet\n"
        "old = sys.stdout\n"
        "with quiet():\n"
        "    print('a'); os.write(1, b'b'); os.write(2, b'c'); ctypes.CDLL(None).printf(b'd'); old.write('e')\n"
        "    sys.stderr.write('f'); os.system('echo g; echo h >&2')\n"
        "print('loud')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("loud\n", "")
