"""Who fine-tunes: this process, or others of this machine; whoever does, the result is the same."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Protocol

import loky
import numpy as np
import tensorflow as tf
from loky.process_executor import BrokenProcessPool

from edgett.errors import ToolError
from edgett.train.finetune import Task, Tuned, Tuner, make_deterministic
from edgett.train.parcel import Parcel, pack, unpack

THREADS = dict.fromkeys(
    ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)
"""A trial has one thread wherever it runs: with more, sums come in another order and end in other digits."""

_COUNTS = "batches.npy"


class WorkerDied(ToolError):
    """The process that had a task is gone."""


class Crew(Protocol):
    """Does `size` tasks at once. A future raises WorkerDied when its worker is gone, and another takes its place."""

    @property
    def size(self) -> int:
        """How many tasks it does at once now."""

    def ready(self) -> None:
        """Everybody is there, with what the tasks have in common; or comes with the first task."""

    def first(self, waiting: Sequence[Task]) -> Task:
        """Which of the tasks to submit next; they wait in the order of their promise."""

    def submit(self, task: Task) -> Future[Tuned]:
        """Have a task done; there must be fewer than `size` under way."""

    def heard(self) -> int:
        """Batches done since the last call."""


class Here:
    """This process, on all of its threads: for models that cannot be sent elsewhere, and for debuggers."""

    size = 1

    def __init__(self, tuner: Tuner) -> None:
        self._tuner, self._batches = tuner, 0

    def ready(self) -> None:
        self._tuner.ready()

    def first(self, waiting: Sequence[Task]) -> Task:
        return waiting[0]

    def submit(self, task: Task) -> Future[Tuned]:
        done: Future[Tuned] = Future()
        try:
            done.set_result(attempt(self._tuner, task, self._count))
        except Exception as error:  # noqa: BLE001 - raised where the result is asked for, as with every crew
            done.set_exception(error)
        return done

    def heard(self) -> int:
        batches, self._batches = self._batches, 0
        return batches

    def _count(self, batches: int) -> None:
        self._batches += batches


class Processes:
    """Processes of this machine, each with one thread; they map the same arrays. Files of theirs lie in `folder`."""

    def __init__(self, size: int, folder: Path) -> None:
        _refuse_no_semaphores()
        self.size, self._folder, self._heard = size, folder, 0
        self._counts = np.lib.format.open_memmap(folder / _COUNTS, "w+", np.int64, (size,))
        self._workers: list[Any] = [None] * size
        self._idle = list(range(size))
        self._begun: dict[int, int] = {}
        resource_tracker.ensure_running()  # else the first worker's start would, which makes it hear Ctrl-C again

    def ready(self) -> None:
        with _deaf():
            coming = [self._worker(index).submit(_arrive, self._folder) for index in range(self.size)]
        for index, one in enumerate(coming):
            if isinstance(one.exception(), BrokenProcessPool):  # its first task tells, of another in its place
                self._workers[index] = None

    def first(self, waiting: Sequence[Task]) -> Task:
        """What an idle worker has begun goes on there at once; what a busy one has comes last."""
        places = [self._begun.get(task.solution.number) for task in waiting]
        ranks = [1 if place is None else 0 if place in self._idle else 2 for place in places]
        return waiting[ranks.index(min(ranks))]

    def submit(self, task: Task) -> Future[Tuned]:
        number = task.solution.number
        index = self._begun[number] if self._begun.get(number) in self._idle else self._idle[-1]
        self._idle.remove(index)
        self._begun[number] = index
        given: Future[Tuned] = Future()
        with _deaf():
            done = self._worker(index).submit(_work, self._folder, index, task)
        done.add_done_callback(lambda done: self._hand_over(index, done, given))
        return given

    def heard(self) -> int:
        before, self._heard = self._heard, int(self._counts.sum())
        return self._heard - before

    def close(self) -> None:
        """Send everybody home, in the middle of their work if need be."""
        for worker in filter(None, self._workers):
            # By our own hand: loky asks pgrep for children, which not every machine has and which Ctrl-C ends.
            processes = list(worker._processes.values())
            worker._processes.clear()
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
                process.join()
            worker.shutdown(wait=True, kill_workers=True)

    def _worker(self, index: int) -> Any:
        """The worker, started where there is none."""
        if self._workers[index] is None:
            log = self._folder / f"worker-{index}.log"
            self._workers[index] = loky.ProcessPoolExecutor(
                1, None, env=THREADS, initializer=_begin, initargs=(log, os.getpid())
            )
        return self._workers[index]

    def _hand_over(self, index: int, done: Any, given: Future[Tuned]) -> None:
        error = done.exception()
        if isinstance(error, BrokenProcessPool):
            self._workers[index] = None
            killed = " (SIGKILL: by a user, or by the system for want of memory)" if "SIGKILL" in str(error) else ""
            error = WorkerDied("its process died" + (killed or _last_words(self._folder / f"worker-{index}.log")))
        self._idle.append(index)
        if error is None:
            given.set_result(done.result())
        else:
            given.set_exception(error)


def _refuse_no_semaphores() -> None:
    """Raise ToolError where processes cannot wait for one another: some containers mount /dev/shm read-only, or not."""
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError as error:
        raise ToolError(
            "no processes can be started to train in: /dev/shm, in which Linux keeps what they wait for each other by,"
            f" cannot be written ({error.strerror or error}).",
            "Mount it for writing (docker run --tmpfs /dev/shm), or train in this process: --jobs 0.",
        ) from error


def attempt(tuner: Tuner, task: Task, advance: Callable[[int], None]) -> Tuned:
    """Do a task, wherever the tuner is. Raises WorkerDied when memory runs out: elsewhere there may be more."""
    try:
        return tuner.run(task, advance)
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise WorkerDied("it ran out of memory") from error


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


@contextmanager
def _deaf() -> Iterator[None]:
    """A process started inside does not hear Ctrl-C, of which it would die with a traceback; we hear it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(log: Path, parent: int) -> None:
    """In a worker, before its first task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    if os.getppid() != parent:  # killed while we were loading
        os._exit(1)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    sys.stdout.flush()
    with log.open("w") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    make_deterministic()
    gc.freeze()  # TensorFlow's objects, hundreds of thousands: loky has them gone through after each task


def _leave_with(parent: int) -> None:
    """Nobody will read the result when the process that wanted it is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(folder: Path, index: int, task: Task) -> Tuned:
    counts = np.load(folder / _COUNTS, mmap_mode="r+")

    def advance(batches: int) -> None:
        counts[index] += batches

    return attempt(_tuner(folder), task, advance)


def _arrive(folder: Path) -> None:
    """A worker's first task."""
    _tuner(folder).ready()


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
