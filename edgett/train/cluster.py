"""Fine-tuning on the machines of a Ray cluster: a trial a processor, or a graphics processor where there are any."""

from __future__ import annotations

import os
import pickle
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import lru_cache
from threading import Timer
from types import ModuleType
from typing import Any

import loky
import numpy as np
from loky.process_executor import BrokenProcessPool
from numpy.typing import NDArray

from edgett.errors import EdgettError, ToolError, UsageError
from edgett.system.quiet import quiet
from edgett.train.finetune import Task, Tuned, Tuner, make_deterministic
from edgett.train.parcel import Parcel, pack, unpack
from edgett.train.workers import THREADS, Crew, WorkerDied, attempt

QUICK, PATIENCE = 3.0, 26.0
"""Seconds in which a cluster's machine, and then Ray on it, have to answer."""

SETTLING = 1.0
"""Seconds after a death in which Ray may still give the next task to who has died."""

Report = tuple[Tuned, int]
"""What came of a task, and the batches that it took."""

Stranger = tuple[str, str]
"""A node, and the version of edgett that it has."""


class Cluster:
    """The workers of the Ray cluster that this process is connected to; they fetch the parcel once each.

    A node that joins the cluster later gets work too, one that leaves takes its tasks along: their futures raise
    WorkerDied. They raise ToolError when a node has another edgett.
    """

    def __init__(self, parcel: Parcel) -> None:
        ray = _ray()
        self._ray, self._version = ray, parcel.edgett
        self._slot = "GPU" if ray.cluster_resources().get("GPU", 0) >= 1 else "CPU"
        if not ray.cluster_resources().get(self._slot):
            raise ToolError("the Ray cluster has no processor to offer.", "Start a node with: ray start --num-cpus=N")
        needs = {"num_cpus": 1, "num_gpus": int(self._slot == "GPU"), "max_retries": 0}
        self._work = ray.remote(**needs, runtime_env={"env_vars": THREADS})(_by_value())
        try:
            # A reference inside a list is handed on as it is: a worker looks at its version first.
            self._parcel = [ray.put(replace(parcel, arrays={name: _plain(a) for name, a in parcel.arrays.items()}))]
        except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError) as error:
            size = (len(parcel.content) + sum(array.nbytes for array in parcel.arrays.values())) >> 20
            raise ToolError(
                f"model and data, {size} MiB, do not fit into the Ray cluster's object store.",
                "Start Ray with a larger --object-store-memory.",
            ) from error
        self._underway: set[Any] = set()
        self._batches = self._heard = 0

    @property
    def size(self) -> int:
        """The processors of the nodes that are there now."""
        return max(1, int(self._ray.cluster_resources().get(self._slot, 0)))

    def ready(self) -> None:
        """Ray starts its workers with their first tasks."""

    def first(self, waiting: Sequence[Task]) -> Task:
        return waiting[0]

    def submit(self, task: Task) -> Future[Tuned]:
        given: Future[Tuned] = Future()
        sent = self._work.remote(self._version, self._parcel, pickle.dumps(task))
        self._underway.add(sent)
        sent.future().add_done_callback(lambda done: self._hand_over(sent, done, given))
        return given

    def heard(self) -> int:
        """Batches of the tasks that ended since the last call."""
        before, self._heard = self._heard, self._batches
        return self._heard - before

    def close(self) -> None:
        """Have everybody stop, in the middle of their work if need be."""
        for sent in list(self._underway):
            self._ray.cancel(sent, force=True)

    def _hand_over(self, sent: Any, done: Future[Report | Stranger], given: Future[Tuned]) -> None:
        self._underway.discard(sent)
        if (cause := done.exception()) is not None:
            error = self._translated(cause)
            pause = SETTLING if isinstance(error, WorkerDied) else 0.0
            Timer(pause, given.set_exception, [error]).start()
            return
        first, second = done.result()
        if isinstance(first, Tuned):
            self._batches += int(second)
            given.set_result(first)
        else:
            given.set_exception(_refused(str(first), str(second), self._version))

    def _translated(self, error: BaseException) -> BaseException:
        ray = self._ray.exceptions
        if isinstance(error, ray.RayTaskError):
            error = error.cause
        if isinstance(error, ray.OutOfMemoryError):
            return WorkerDied("it ran out of memory: Ray ended its process")
        if isinstance(error, ray.RuntimeEnvSetupError):
            return ToolError(f"a node of the Ray cluster cannot start workers: {_line(error)}", "See that node's logs.")
        if isinstance(error, ray.RayError):
            return WorkerDied(f"its process or its node died: {_line(error)}")
        return error


@contextmanager
def crew(tuner: Tuner, address: str) -> Iterator[Crew]:
    """Workers for a tuner on the Ray cluster at HOST:PORT, ray://HOST:PORT or, where one runs on this machine, "auto".

    Raises UsageError without Ray, ModelError when the model cannot be sent, ToolError when the cluster does not answer.
    """
    _ray()
    parcel = pack(tuner)
    with _connected(address):
        workers = Cluster(parcel)
        try:
            yield workers
        finally:
            workers.close()


def work(parcel: Any, task: bytes) -> Report:
    """In a worker: do a task with the tuner that the reference leads to."""
    batches = 0

    def advance(count: int) -> None:
        nonlocal batches
        batches += count

    return attempt(_tuner(parcel), pickle.loads(task), advance), batches


@lru_cache(maxsize=1)
def _tuner(parcel: Any) -> Tuner:
    """Unpacked once in each worker; its arrays are those in the node's object store."""
    make_deterministic()
    return unpack(_ray().get(parcel))


def _by_value() -> Callable[[str, list[Any], bytes], Report | Stranger]:
    """What a worker does. Defined in here it is sent as code: the worker may have another edgett, or none."""

    module = __name__

    def begin(version: str, parcel: list[Any], task: bytes) -> Any:
        import importlib
        import importlib.metadata
        import platform

        import ray

        try:
            found = importlib.metadata.version("edgett")
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found != version:
            return f"{platform.node()} ({ray.util.get_node_ip_address()})", found
        return importlib.import_module(module).work(parcel[0], task)

    return begin


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """The array as one that is stored without a copy on its way; a mapped file is not."""
    return np.ascontiguousarray(array)


def _refused(node: str, found: str, wanted: str) -> EdgettError:
    return ToolError(
        f"node {node} of the Ray cluster has edgett {found}, this process has {wanted}.",
        f"Run there: pip install 'edgett[ray]=={wanted}'",
    )


def _ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError("--cluster needs Ray, which is not installed.", "pip install 'edgett[ray]'") from error
    return ray


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """A connection to the cluster, closed at the end unless it was there before."""
    ray = _ray()
    if ray.is_initialized():
        mine = ray.get_runtime_context().gcs_address
        if address not in ("auto", mine):
            raise UsageError(
                f"this process is connected to the Ray cluster at {mine} already, not to {address}.",
                "Call ray.shutdown() first, or name that one.",
            )
        yield
        return
    _probe(address)
    # Whatever it is told Ray prints to standard output when a node dies.
    with open(os.devnull, "w") as sink, redirect_stdout(sink):  # noqa: PTH123
        try:
            try:
                with quiet():
                    ray.init(**_how(address))
            except (RuntimeError, ValueError, OSError) as error:
                raise _unreachable(address, error) from error
            yield
        finally:
            with quiet():
                ray.shutdown()


def _how(address: str) -> dict[str, Any]:
    return {"address": address, "log_to_driver": False, "logging_level": "ERROR"}


def _probe(address: str) -> None:
    """Raises ToolError unless the cluster lets a process connect."""
    refusal = _unheard(address) or _refusal(address)
    if refusal is not None:
        raise _unreachable(address, refusal)


def _unreachable(address: str, reason: object) -> EdgettError:
    return ToolError(
        f"the Ray cluster at {address} cannot be reached: {_line(reason)}.",
        "See that it runs (ray status); 'ray start --head' prints its address.",
    )


def _unheard(address: str) -> str | None:
    """Why not even the network leads there. Raises UsageError for what is no address."""
    if address == "auto":
        return None
    parts = re.fullmatch(r"(?:ray://)?\[?([^\s/]+?)\]?:(\d{1,5})", address)
    if parts is None:
        raise UsageError(
            f"--cluster {address} is no address of a Ray cluster.", "Give HOST:PORT, ray://HOST:PORT or auto."
        )
    try:
        socket.create_connection((parts[1], int(parts[2])), QUICK).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return None


def _refusal(address: str) -> str | None:
    """Why a process cannot connect.

    Another process tries: where nobody answers Ray waits for minutes, and may end the process in the end.
    """

    def connect(how: dict[str, Any]) -> str | None:
        import os

        sink = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(sink, number)
        import ray

        try:
            ray.init(**how)
            ray.shutdown()
        except Exception as error:  # noqa: BLE001 - whatever it is, the one who asked reports it
            return f"{type(error).__name__}: {error}"
        return None

    scout = loky.ProcessPoolExecutor(1, None)
    try:
        refusal: str | None = scout.submit(connect, _how(address)).result(PATIENCE)
    except TimeoutError:
        return f"no answer in {PATIENCE:.0f} s"
    except BrokenProcessPool:
        return "Ray gave up"
    finally:
        scout.shutdown(wait=True, kill_workers=True)
    return refusal


def _line(error: object) -> str:
    """Its first words."""
    return " ".join(str(error).split())[:300].rstrip(".")
