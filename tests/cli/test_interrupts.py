"""Ctrl-C, a kill, a second process: nothing is lost, nothing trained twice, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from edgett.run.directory import Run
from tests.cli.living import PATIENCE, living, written
from tests.conftest import EASY, Answer, Finished, Tiny

Call = Callable[..., Answer]


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


@pytest.mark.slow
def test_kill_then_interrupt_then_resume_equals_the_run_that_was_left_alone(
    edgett: Call, tiny: Tiny, finished: Finished, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with started(tmp_path, *tiny.arguments, *EASY, "--out", "run") as process:
        until(process, lambda: bool(written(run)))
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
        process.send_signal(signal.SIGINT)  # at once: a tiny trial is soon over
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines() == [
        "error: interrupted; every finished trial is kept.", "Go on with: edgett compress --out run --resume",
    ]  # fmt: skip
    assert len(written(run)) == 1
    # The dense model's files are whole: they are written before anything is trained.
    written_first = {f"baseline{suffix}" for suffix in (".tflite", ".onnx")}
    assert not list(run.glob("**/.part-*")) and {path.name for path in (run / "artifacts").iterdir()} == written_first

    done = edgett("compress", "--out", "run", "--resume", "--json")
    assert done.code == 0
    assert done.document["picks"] == finished.document["picks"]
    for path in (finished.path / "artifacts").iterdir():
        assert path.read_bytes() == (run / "artifacts" / path.name).read_bytes(), path.name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "rows", "seconds", "times"),
    [
        ("loading", 0, 0.7, 1),  # TensorFlow is being imported
        ("fine-tuning", 0, 0.5, 1),  # the workers are loading it
        ("fine-tuning", 0, 2.5, 2),
        ("fine-tuning", 1, 0.2, 1),
        ("fine-tuning", 1, 0.0, 3),
        ("exporting", 0, 0.3, 2),
    ],
)
def test_ctrl_c_ends_all_processes_without_noise(
    tiny: Tiny, tmp_path: Path, word: str, rows: int, seconds: float, times: int
) -> None:
    """As a terminal sends it: to all processes of the group at once, however often and whatever they do."""
    arguments = (*tiny.arguments, *EASY, "--jobs", "2", "--limit", "60", "--epochs", "9", "--out", "run")
    if word == "exporting":
        arguments += ("--limit", "6", "--epochs", "1")  # several picks: seconds of exporting
    with living(tmp_path, *arguments) as process:
        assert process.wait_for(lambda: process.said(word) and len(written(process.run)) >= rows)
        time.sleep(seconds)
        assert process.process.poll() is None, "it was over before it could be interrupted"
        for _ in range(times):
            os.killpg(process.process.pid, signal.SIGINT)
            time.sleep(0.1)
        assert process.process.wait(PATIENCE) == 130, process.log.read_text()
        kept = len(written(process.run))
        deadline = time.monotonic() + 10
        while others := process.others():
            assert time.monotonic() < deadline, others
            time.sleep(0.1)
    lines = process.log.read_text().splitlines()
    told = ["error: interrupted; every finished trial is kept.", "Go on with: edgett compress --out run --resume"]
    assert lines[-2:] == told
    words = {line.split()[0] for line in lines[:-2]} - {"6", "60"}  # of 138 joint solutions
    stages = {"loading", "looking", "converting", "exploring", "costing", "making", "trying", "fine-tuning", word}
    assert words <= {"tiny.keras:", "run:", "target:"} | stages
    assert (tmp_path / "out").read_text() == ""
    assert kept >= rows and not list(process.run.glob(".part-*"))


def test_ctrl_c_before_any_command_says_nothing() -> None:
    code = "import signal; from edgett import cli; cli.run = lambda _: signal.raise_signal(2); cli.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_a_library_executes_a_text_is_exit_130(tmp_path: Path) -> None:
    """As TensorFlow's import does, which has classes written so."""
    code = "from edgett import cli\ncli.run = lambda _: exec('import signal; signal.raise_signal(2)')\ncli.main()\n"
    (tmp_path / "program.py").write_text(code)
    done = subprocess.run([sys.executable, "-m", "program"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_interrupt_in_json_is_a_document(edgett: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgett.workflow.survey.over_grid", interrupted)

    answer = edgett("explore", "--layer", "64x48", "--json")

    assert answer.code == 130
    assert answer.document["error"] == {"code": 130, "kind": "Interrupted", "message": "interrupted.", "cure": ""}


@pytest.mark.slow
def test_disk_that_is_full_leaves_no_half_written_artefact(tiny: Tiny, finished: Finished, tmp_path: Path) -> None:
    """From the export on, no file may grow to the size of the largest artefacts: the dense model's is there, whole."""
    code = """if True:
        import resource, sys
        from edgett import cli; from edgett.workflow import compress
        def full(*arguments, release=compress.release):
            resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, 15_000))
            return release(*arguments)
        compress.release = full
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
    left = {path.name: path.read_bytes() for path in (tmp_path / "run" / "artifacts").iterdir()}
    assert left == {name: (finished.path / "artifacts" / name).read_bytes() for name in left}
    assert left.keys() == {"baseline.tflite", "baseline.onnx"}
    assert not list((tmp_path / "run").glob(".part-*"))
    with closing(Run.resume(tmp_path / "run")) as run:
        assert len(run.trials()) == 2


def test_a_library_that_makes_another_exception_of_ctrl_c_does_not_hide_it() -> None:
    code = (
        "import signal, sys\nfrom edgett import cli\nfrom edgett.cli import app\nfrom edgett.errors import ToolError\n"
        "def converter(*_, **__):\n"
        "    try:\n        signal.raise_signal(2)\n"
        "    except KeyboardInterrupt as error:\n        raise ToolError('the converter failed') from error\n"
        "app.app = converter\ncli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted.\n")


@pytest.mark.parametrize("lost_in", ["edgett.workflow.survey.over_grid", "edgett.workflow.document.explored"])
def test_ctrl_c_that_a_destructor_swallows_is_recalled(lost_in: str) -> None:
    """Python cannot raise through `__del__`: it came to nothing, and the command went on to exit 0."""
    module, _, name = lost_in.rpartition(".")
    code = f"""if True:
        import importlib, signal, sys
        from edgett import cli
        module = importlib.import_module({module!r})
        work = getattr(module, {name!r})
        class Library:
            def __del__(self):
                signal.raise_signal(2)
        def swallowing(*given, **named):
            Library()
            return work(*given, **named)
        setattr(module, {name!r}, swallowing)
        cli.main()
    """
    command = [sys.executable, "-c", code, "explore", "--layer", "64x48"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines()[-1] == "error: interrupted." and "Exception ignored" not in done.stderr
