"""Keeps what the converters print off the screen."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Python's and C++'s output, logging and warnings of what runs inside; errors still raise.

    File descriptors 1 and 2 are turned away as well, since the converters print from C++.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with ExitStack() as stack:
        sink = stack.enter_context(tempfile.TemporaryFile("w+"))
        for number in (1, 2):
            saved = os.dup(number)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, number)
            os.dup2(sink.fileno(), number)
        stack.enter_context(redirect_stdout(sink))
        stack.enter_context(redirect_stderr(sink))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        stack.callback(logging.disable, level)
        yield
