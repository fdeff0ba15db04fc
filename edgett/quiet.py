"""Keeps what TensorFlow and the converters print off the screen."""

from __future__ import annotations

import atexit
import ctypes
import functools
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Python's and C++'s output, logging and warnings of what runs inside; errors still raise.

    File descriptors 1 and 2 are turned away as well, since the converters print from C++.
    """
    streams = sys.stdout, sys.stderr
    _flush(*streams)
    with ExitStack() as stack:
        for number in (1, 2):
            saved = os.dup(number)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, number)
            os.dup2(_sink().fileno(), number)
        # What is still in a buffer would otherwise come out when it is loud again.
        stack.callback(_flush, *streams)
        stack.enter_context(redirect_stdout(_sink()))
        stack.enter_context(redirect_stderr(_sink()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        stack.callback(logging.disable, level)
        yield


def _flush(*streams: TextIO) -> None:
    """Empty the buffers of Python's streams and of all of C's."""
    for stream in streams:
        stream.flush()
    ctypes.CDLL(None).fflush(None)


@functools.cache
def _sink() -> TextIO:
    """Not closed before the end: a logger that is made while it is quiet keeps the stream it found."""
    sink = open(os.devnull, "w")  # noqa: PTH123, SIM115
    atexit.register(sink.close)
    return sink
