"""Keeps what TensorFlow and the converters print off the screen."""

from __future__ import annotations

import atexit
import ctypes
import functools
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from contextvars import ContextVar
from typing import TextIO

Listener = Callable[[str], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)
"""What goes on in one thread's `kept`: it would otherwise be an argument of everything that calls a converter."""


@contextmanager
def kept(listener: Listener) -> Iterator[None]:
    """What `quiet` turns away inside is not lost: at its end the listener hears it, warnings and logging included."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Python's and C++'s output, logging and warnings of what runs inside; errors still raise.

    File descriptors 1 and 2 are turned away as well, since the converters print from C++.
    """
    streams, listener = (sys.stdout, sys.stderr, _sink()), _LISTENER.get()
    _flush(*streams)
    with ExitStack() as stack:
        place = _sink().fileno() if listener is None else stack.enter_context(_overheard(listener))
        for number in {1, 2, _sink().fileno()} - {place}:
            saved = os.dup(number)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, number)
            os.dup2(place, number)
        # What is still in a buffer would otherwise come out when it is loud again.
        stack.callback(_flush, *streams)
        stack.enter_context(redirect_stdout(_sink()))
        stack.enter_context(redirect_stderr(_sink()))
        stack.enter_context(warnings.catch_warnings())
        if listener is None:
            warnings.simplefilter("ignore")
            level = logging.root.manager.disable
            logging.disable(logging.WARNING)
            stack.callback(logging.disable, level)
        else:
            warnings.simplefilter("default")
        yield


@contextmanager
def _overheard(listener: Listener) -> Iterator[int]:
    """The descriptor of a file, of whose content the listener hears in the end."""
    with tempfile.TemporaryFile() as file:
        try:
            yield file.fileno()
        finally:
            file.seek(0)
            if content := file.read():
                listener(content.decode(errors="replace"))


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
