"""Ctrl-C, a kill, a second process: nothing is lost, nothing trained twice, nothing half-written."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from edgett.run import Run
from tests.conftest import EASY, Answer, Finished, Tiny

Call = Callable[..., Answer]
PATIENCE = 240
"""Seconds; a loaded machine is slow, not wrong."""


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "edgett", "compress", *arguments]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: subprocess.Popen[str], true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def trials(path: Path) -> int:
    import sqlite3

    with closing(sqlite3.connect(f"file:{path / 'journal.sqlite'}?mode=ro", uri=True)) as journal:
        return int(journal.execute("SELECT count(*) FROM trials").fetchone()[0])


@pytest.mark.slow
def test_kill_then_interrupt_then_resume_equals_the_run_that_was_left_alone(
    edgett: Call, tiny: Tiny, finished: Finished, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with started(tmp_path, *tiny.arguments, *EASY, "--out", "run") as process:
        until(process, lambda: (run / "run.json").exists() and trials(run) > 0)
        second = edgett("compress", "--out", run, "--resume")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert second.code == 2
    assert "under way in another process" in second.err
    (run / ".part-killed").mkdir()

    with started(tmp_path, "--out", "run", "--resume") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("fine-tuning"):
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines() == [
        "error: interrupted; every finished trial is kept.", "Go on with: edgett compress --out run --resume",
    ]  # fmt: skip
    assert trials(run) == 1
    assert not list(run.glob("**/.part-*")) and not (run / "artifacts").exists()

    done = edgett("compress", "--out", "run", "--resume", "--json")
    assert done.code == 0
    assert done.document["picks"] == finished.document["picks"]
    for path in (finished.path / "artifacts").iterdir():
        assert path.read_bytes() == (run / "artifacts" / path.name).read_bytes(), path.name


def test_interrupt_in_json_is_a_document(edgett: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgett.survey.over_grid", interrupted)

    answer = edgett("explore", "--layer", "64x48", "--json")

    assert answer.code == 130
    assert answer.document["error"] == {"code": 130, "kind": "Interrupted", "message": "interrupted.", "cure": ""}


def test_disk_that_is_full_leaves_no_half_written_artefact(tiny: Tiny, finished: Finished, tmp_path: Path) -> None:
    """From the export on, no file may grow to the size of the largest artefacts."""
    code = """if True:
        import resource, sys
        from edgett import cli, pipeline
        def full(*arguments, release=pipeline.release):
            resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, 15_000))
            return release(*arguments)
        pipeline.release = full
        sys.exit(cli.run(sys.argv[1:]))
    """
    command = [sys.executable, "-c", code, "compress", "--out", "run", "--resume"]
    shutil.copytree(finished.path, tmp_path / "run", ignore=shutil.ignore_patterns("artifacts", "check.json"))
    asked = json.loads((tmp_path / "run" / "run.json").read_text())
    del asked["outcome"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(asked))

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 6, done.stderr
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr
    assert not (tmp_path / "run" / "artifacts").exists()
    assert not list((tmp_path / "run").glob(".part-*"))
    with closing(Run.resume(tmp_path / "run")) as run:
        assert len(run.trials()) == 2
