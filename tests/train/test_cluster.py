"""A real Ray cluster of two nodes on this machine does what local processes do, also when a node is killed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from edgett.errors import ToolError, UsageError
from edgett.job.choices import Schedule
from edgett.meter import Silent
from edgett.run.directory import Run
from edgett.search.constraints import DROP, Constraints, Objective
from edgett.search.quality import Quality
from edgett.train import cluster
from edgett.train.finetune import Task, Tuned
from edgett.train.workers import Crew
from edgett.workflow.tuning import Course, tune
from tests.train.test_workers import (
    EPOCHS,
    SOON,
    WORK,
    ElsewhereContract,
    fates,
    fragile_tuner,
    reference,
    solution,
    task,
)

__all__ = ["fates", "reference"]  # fixtures

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None and os.environ.get("CI") != "true", reason="needs edgett[ray]"
)

NODES = """
import itertools
import sys
from ray.cluster_utils import Cluster

common = dict(num_cpus=1, object_store_memory=80 << 20, include_dashboard=False)
ports = itertools.count(21000, 100)


def workers():
    # As with `ray start`, the next worker does not get the port of the one that has just died.
    first = next(ports)
    return dict(min_worker_port=first, max_worker_port=first + 99)


cluster = Cluster(True, head_node_args=common | workers() | dict(node_ip_address="127.0.0.2"))
print(cluster.address, flush=True)
nodes = {}
for line in sys.stdin:
    verb, name, *path = line.split()
    if verb == "add":
        env = {"PYTHONPATH": path[0]} if path else None
        nodes[name] = cluster.add_node(**common, **workers(), node_ip_address=name, env_vars=env)
    else:
        cluster.remove_node(nodes.pop(name), allow_graceful=False)
    print("done", flush=True)
cluster.shutdown()
"""
"""Adds and kills nodes as told. Ray replaces 127.0.0.1 by the machine's address in the network, not its siblings."""

SECOND, STRANGE = "127.0.0.3", "127.0.0.4"


class Nodes:
    """A cluster in a process of its own; `tell("add IP")`, `tell("kill IP")`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self._answer()

    def tell(self, command: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        assert self._answer() == "done"

    def _answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    folder = tempfile.mkdtemp(prefix="ray-")  # sockets lie in it, whose paths must be short
    settings = {"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}
    settings |= {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}
    command = [sys.executable, "-c", NODES]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=os.environ | settings
    ) as process:
        nodes = Nodes(process)
        nodes.tell(f"add {SECOND}")
        yield nodes
        process.communicate(timeout=SOON)
    shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        return int(probe.getsockname()[1])


class Counted:
    """A crew that counts what it is asked to do."""

    def __init__(self, crew: Crew) -> None:
        self._crew, self.submitted = crew, 0
        self.heard, self.first = crew.heard, crew.first

    @property
    def size(self) -> int:
        return self._crew.size

    def submit(self, given: Task) -> Future[Tuned]:
        self.submitted += 1
        return self._crew.submit(given)


class Watching(Silent):
    """Looks at something whenever progress is reported."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    @contextmanager
    def stage(self, text: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        yield lambda count: self._look()


def until(holds: Callable[[], bool]) -> None:
    """Ray takes a moment to see that a node is gone."""
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def course(baseline: Quality) -> Course:
    limits = Constraints(Objective.ACCURACY, {DROP: 50.0})
    return Course(Schedule.FULL, EPOCHS, WORK // EPOCHS, 5, baseline, limits)


@needs_ray
@pytest.mark.slow
class TestCluster(ElsewhereContract):
    @pytest.fixture(scope="class")
    @classmethod
    def crew(cls, nodes: Nodes, fates: Path) -> Iterator[Crew]:
        with cluster.crew(fragile_tuner(fates), nodes.address) as crew:
            assert crew.size == 2
            yield crew

    @pytest.fixture
    def died(self) -> str:
        return "its process or its node died"

    @pytest.fixture
    def run(self, tmp_path: Path) -> Iterator[Run]:
        with closing(Run.start(tmp_path / "run", {})) as run:
            yield run

    def test_a_trial_that_dies_twice_is_recorded_with_its_reason(
        self, crew: Crew, fates: Path, died: str, run: Run, reference: dict[int, Tuned]
    ) -> None:
        doomed = fates / "doomed"
        doomed.touch()
        (trial,) = tune([solution(0)], course(reference[0].quality), crew, run, Silent())
        doomed.unlink()
        assert trial.failure is not None and died in trial.failure and "(2 times)" in trial.failure


@needs_ray
@pytest.mark.slow
def test_a_node_killed_in_mid_run_costs_nothing_but_time(
    nodes: Nodes, tmp_path: Path, reference: dict[int, Tuned], capfd: pytest.CaptureFixture[str]
) -> None:
    fates = tmp_path / "fates"
    tuner = fragile_tuner(fates)
    capfd.readouterr()  # TensorFlow's greeting, where nothing has loaded it yet
    with closing(Run.start(tmp_path / "run", {})) as run, cluster.crew(tuner, nodes.address) as crew:
        waits = fates / "waits"
        waits.touch()

        def look() -> None:
            pids = [int(path.name.partition("-")[2]) for path in fates.glob("waiting-*")]
            if waits.exists() and len(pids) == 2:
                nodes.tell(f"kill {SECOND}")
                # A process may outlive its node for long enough to end its task.
                until(lambda: sum(map(alive, pids)) == 1)
                waits.unlink()

        counted = Counted(crew)
        trials = tune(list(map(solution, reference)), course(reference[0].quality), counted, run, Watching(look))
        assert counted.submitted == len(reference) + 1
        for trial in trials:
            assert trial.failure is None and trial.complete
            assert run.weights(trial.solution.number) == reference[trial.solution.number].weights
        until(lambda: crew.size == 1)
        nodes.tell(f"add {SECOND}")
        until(lambda: crew.size == 2)
    assert capfd.readouterr() == ("", "")


@needs_ray
@pytest.mark.slow
def test_a_node_with_another_edgett_is_refused_by_name(nodes: Nodes, tmp_path: Path) -> None:
    (tmp_path / "edgett-99.5.dist-info").mkdir()
    (tmp_path / "edgett-99.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: edgett\nVersion: 99.5\n")
    nodes.tell(f"add {STRANGE} {tmp_path}")
    try:
        with cluster.crew(fragile_tuner(tmp_path / "fates"), nodes.address) as crew:
            until(lambda: crew.size == 3)
            ended = wait([crew.submit(task(0)) for _ in range(3)], SOON, FIRST_COMPLETED).done
            error = ended.pop().exception()
            assert isinstance(error, ToolError)
            assert STRANGE in error.message and "99.5" in error.message and "pip install" in error.cure
    finally:
        nodes.tell(f"kill {STRANGE}")


@needs_ray
@pytest.mark.slow
def test_a_connection_that_was_there_before_is_used_and_left(nodes: Nodes, tmp_path: Path) -> None:
    import ray

    ray.init(nodes.address, log_to_driver=False, logging_level="ERROR")
    try:
        with cluster.crew(fragile_tuner(tmp_path / "fates"), "auto") as crew:
            until(lambda: crew.size == 2)
        assert ray.is_initialized()
        with (
            pytest.raises(UsageError, match=r"is connected to the Ray cluster at 127\.0\.0\.2"),
            cluster.crew(fragile_tuner(tmp_path / "fates"), "127.0.0.9:1"),
        ):
            pass
    finally:
        ray.shutdown()


def refused(address: str, folder: Path) -> ToolError:
    with pytest.raises(ToolError) as caught, cluster.crew(fragile_tuner(folder), address):
        pass
    assert address in caught.value.message and "ray start --head" in caught.value.cure
    return caught.value


@needs_ray
@pytest.mark.slow
def test_nobody_listens_there(tmp_path: Path) -> None:
    assert "refused" in refused(f"127.0.0.2:{free_port()}", tmp_path).message


@needs_ray
@pytest.mark.slow
def test_somebody_listens_and_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster.QUICK + cluster.PATIENCE < 30
    monkeypatch.setattr(cluster, "PATIENCE", 6)  # of which most goes by before Ray is loaded on a busy machine
    with socket.socket() as mute:
        mute.bind(("127.0.0.2", 0))
        mute.listen()
        began = time.monotonic()
        assert "no answer in" in refused(f"127.0.0.2:{mute.getsockname()[1]}", tmp_path).message
        assert time.monotonic() - began < 15


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("address", ["here", "http://127.0.0.2:80", "127.0.0.2", "ray://", ""])
def test_what_is_no_address(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match="is no address"), cluster.crew(fragile_tuner(tmp_path), address):
        pass


def test_without_ray_the_line_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UsageError, match=r"pip install 'edgett\[ray\]'"),
        cluster.crew(fragile_tuner(tmp_path), "auto"),
    ):
        pass
