"""Kills, power cuts, full and read-only disks: what a run directory comes through, and what is told."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edgett.errors import ToolError
from edgett.run.directory import Run
from tests.run.test_directory import an_old_run, fresh

ROOT = Path(__file__).parents[2]


def die_at(step: int, work: Callable[[], object]) -> bool:
    """Do work in a child that is killed before the step-th change of the file system; whether it came to that."""
    child = os.fork()
    if child == 0:
        steps = itertools.count()

        def hook(event: str, arguments: object) -> None:
            if event in ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "sqlite3.connect") and next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def fresh_ones_killed_at_every_step(folder: Path) -> None:
    for step in itertools.count():
        place = folder / str(step)
        an_old_run(place)
        if not die_at(step, lambda place=place: fresh(place)):
            break
        if (place / "journal.sqlite").exists() or "digests" not in json.loads((place / "run.json").read_text()):
            with closing(Run.resume(place)) as run:  # all of the old run, or the new one
                assert run.weights(1) == b"one" if "outcome" in run.asked else not run.trials(), step
        else:
            with pytest.raises(ToolError, match=r"is missing\. Put a copy .* or start anew with --fresh"):
                Run.resume(place)
        with closing(fresh(place)) as run:
            assert run.trials() == {} and not (place / "check.json").exists() and not list(place.glob(".part-*"))
    assert step > 8


def test_fresh_one_survives_a_kill_at_any_step(tmp_path: Path) -> None:
    """In a process of its own: this one may have threads, which a fork does not take along."""
    code = "import sys; from tests.run.test_faults import *; fresh_ones_killed_at_every_step(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        synced.append((name, (tmp_path / "run" / "artifacts" / "a").exists()))
        fsync(descriptor)

    with closing(Run.start(tmp_path / "run", {})) as run:
        monkeypatch.setattr(os, "fsync", noted)
        run.write_json("artifacts/a", {})
    assert synced == [("a", False), ("artifacts", True), ("run", True)]


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.EIO, "artifacts/a cannot be written: Input/output error"), (errno.ENOSPC, "Free some disk space")],
)
def test_failure_to_sync_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: str) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with closing(Run.start(tmp_path / "run", {})) as run:
        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(ToolError, match=told):
            run.write_json("artifacts/a", {})
        assert not (run.path / "artifacts" / "a").exists()


def test_directory_that_cannot_be_synced_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    with closing(Run.start(tmp_path / "run", {})) as run:
        run.write_json("artifacts/a", {})
        assert (run.path / "artifacts" / "a").exists()


def mounted(folder: Path, options: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder`, on a file system of its own that nobody else sees."""
    script = f'mount -t tmpfs -o {options} none "$0" || exit 77; cd "$0" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, str(folder), sys.executable, "-c", code]
    try:
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
        )
    except OSError as error:
        pytest.skip(f"no file system of our own: {error}")
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no file system of our own: {done.stderr}")
    return done


def test_full_disk_is_told_and_what_was_committed_is_there(tmp_path: Path) -> None:
    """A real one: of 400 KB, later of 4 MB."""
    code = """if True:
        import subprocess
        from contextlib import closing
        from pathlib import Path
        from edgett.errors import ToolError
        from edgett.run.directory import Run
        from tests.run.test_directory import trial
        with closing(Run.start(Path("run"), {"digests": {"model": "1"}})) as run:
            try:
                for number in range(99):
                    run.record(trial(number), bytes(50_000))
            except ToolError as error:
                print(number, error)
            try:
                run.write_json("check.json", {"a": "b" * 400_000})
            except ToolError as error:
                print(error, (run.path / "check.json").exists(), list(run.path.glob(".part-*")))
        subprocess.run(["mount", "-o", "remount,size=4m", "."], check=True)
        with closing(Run.resume(Path("run"))) as run:
            assert run.trials() == {index: trial(index) for index in range(number)}
            run.record(trial(number), b"now")
            assert run.weights(number) == b"now" and run.weights(0) == bytes(50_000)
    """
    done = mounted(tmp_path, "size=400k", code)
    assert done.returncode == 0, done.stderr
    journal, check = done.stdout.splitlines()
    assert "journal.sqlite cannot be used: database or disk is full. Free some disk space and go on with" in journal
    assert int(journal.split()[0]) > 1
    assert check == (
        "run cannot be written: No space left on device. Free some disk space and go on with --resume. False []"
    )


def test_read_only_directory_is_told(tmp_path: Path) -> None:
    code = """if True:
        import subprocess
        from pathlib import Path
        from edgett.errors import ToolError
        from edgett.run.directory import Run
        Run.start(Path("run"), {"digests": {"model": "1"}, "versions": {"edgett": "1"}}).close()
        subprocess.run(["mount", "-o", "remount,ro", "."], check=True)
        for work in (
            lambda: Run.start(Path("other"), {}),
            lambda: Run.start(Path("run"), {}, fresh=True),
            lambda: Run.resume(Path("run")),
        ):
            try:
                work()
            except ToolError as error:
                print(error)
    """
    done = mounted(tmp_path, "size=400k", code)
    assert done.returncode == 0, done.stderr
    told = "cannot be written: Read-only file system. Choose a directory you may write to with --out."
    assert done.stdout.splitlines() == [f"{name} {told}" for name in ("other", "run", "run")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_directory_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ToolError, match=r"Permission denied.*Choose a directory you may write to"):
        Run.start(tmp_path / "run", {})
