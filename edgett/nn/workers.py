"""Who fine-tunes: this process, or others of this machine; whoever does, the result is the same."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import loky
import numpy as np
from loky.process_executor import BrokenProcessPool

from edgett.errors import ToolError
from edgett.nn.finetune import Task, Tuned, Tuner, make_deterministic
from edgett.nn.parcel import Parcel, pack, unpack

THREADS = dict.fromkeys(
    ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)
"""A trial has one thread wherever it runs: with more, sums come in another order and end in other digits."""

_COUNTS = "batches.npy"


class WorkerDied(ToolError):
    """The process that had a task is gone."""


class Crew(Protocol):
    """Does `size` tasks at once. A future raises WorkerDied when its worker is gone, and another takes its place."""

    size: int

    def submit(self, task: Task) -> Future[Tuned]:
        """Have a task done; there must be fewer than `size` under way."""

    def heard(self) -> int:
        """Batches done since the last call."""


class Here:
    """This process, on all of its threads: for models that cannot be sent elsewhere, and for debuggers."""

    size = 1

    def __init__(self, tuner: Tuner) -> None:
        self._tuner, self._batches = tuner, 0

    def submit(self, task: Task) -> Future[Tuned]:
        done: Future[Tuned] = Future()
        done.set_result(self._tuner.run(task, self._count))
        return done

    def heard(self) -> int:
        batches, self._batches = self._batches, 0
        return batches

    def _count(self, batches: int) -> None:
        self._batches += batches


class Processes:
    """Processes of this machine, each with one thread; they map the same arrays. Files of theirs lie in `folder`."""

    def __init__(self, size: int, folder: Path) -> None:
        self.size, self._folder, self._heard = size, folder, 0
        self._counts = np.lib.format.open_memmap(folder / _COUNTS, "w+", np.int64, (size,))
        self._workers: list[Any] = [None] * size
        self._idle = list(range(size))

    def submit(self, task: Task) -> Future[Tuned]:
        index = self._idle.pop()
        if self._workers[index] is None:
            log = self._folder / f"worker-{index}.log"
            self._workers[index] = loky.ProcessPoolExecutor(1, None, env=THREADS, initializer=_begin, initargs=(log,))
        given: Future[Tuned] = Future()
        done = self._workers[index].submit(_work, self._folder, index, task)
        done.add_done_callback(lambda done: self._hand_over(index, done, given))
        return given

    def heard(self) -> int:
        before, self._heard = self._heard, int(self._counts.sum())
        return self._heard - before

    def close(self) -> None:
        """Send everybody home, in the middle of their work if need be."""
        for worker in filter(None, self._workers):
            worker.shutdown(wait=True, kill_workers=True)

    def _hand_over(self, index: int, done: Any, given: Future[Tuned]) -> None:
        error = done.exception()
        if isinstance(error, BrokenProcessPool):
            self._workers[index] = None
            error = WorkerDied("its process died" + _last_words(self._folder / f"worker-{index}.log"))
        self._idle.append(index)
        if error is None:
            given.set_result(done.result())
        else:
            given.set_exception(error)


@contextmanager
def crew(tuner: Tuner, jobs: int, folder: Path) -> Iterator[Crew]:
    """Workers for a tuner: `jobs` processes, or with 0 this one. Raises ModelError when the model cannot be sent."""
    if jobs == 0:
        yield Here(tuner)
        return
    pack(tuner).save(folder)
    processes = Processes(jobs, folder)
    try:
        yield processes
    finally:
        processes.close()


def _begin(log: Path) -> None:
    """In a worker, before its first task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    sys.stdout.flush()
    with log.open("w") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    make_deterministic()


def _leave_with(parent: int) -> None:
    """Nobody will read the result when the process that wanted it is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(folder: Path, index: int, task: Task) -> Tuned:
    counts = np.load(folder / _COUNTS, mmap_mode="r+")

    def advance(batches: int) -> None:
        counts[index] += batches

    return _tuner(folder).run(task, advance)


@cache
def _tuner(folder: Path) -> Tuner:
    """Unpacked once in each worker."""
    return unpack(Parcel.load(folder))


def _last_words(log: Path) -> str:
    """What a process said before it died, if anything."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return f" ({lines[-1][:200]})" if lines else ""
