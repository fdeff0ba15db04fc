"""`--resume` goes on with the same run or says what has changed; `--fresh` starts anew in its place."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import edgett
from edgett.errors import DataError, UsageError
from edgett.run.directory import Run
from edgett.run.journal import SCHEMA
from tests.cli.test_compress import unfinished
from tests.conftest import EASY, Answer, Finished, Tiny
from tests.run.test_faults import mounted

Call = Callable[..., Answer]
CURE = "'edgett compress' starts anew there with --fresh, or elsewhere with another --out."


def changed(place: Path, part: str, **values: Any) -> None:
    """Have run.json say that something was otherwise when the run began."""
    asked = json.loads((place / "run.json").read_text())
    asked[part] |= values
    (place / "run.json").write_text(json.dumps(asked))


def files(place: Path) -> dict[str, bytes]:
    """What a run consists of; SQLite may fold its log into the journal, and run.log tells of what was refused too."""
    found = {str(path.relative_to(place)): path for path in place.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(("journal", "run.log"))}


@pytest.mark.parametrize(
    ("part", "values", "told"),
    [
        ("versions", {"tensorflow": "2.20.0"}, f"tensorflow was 2.20.0, is {version('tensorflow')}"),
        ("versions", {"keras": "3.14.1"}, f"keras was 3.14.1, is {version('keras')}"),
        ("versions", {"numpy": "2.0.0"}, f"numpy was 2.0.0, is {version('numpy')}"),
        ("versions", {"edgett": "0.0.9"}, f"edgett was 0.0.9, is {version('edgett')}"),
        ("digests", {"code": "0"}, "edgett's code changed since it began"),
        ("digests", {"target": "0"}, "the target's profile changed since it began"),
        ("digests", {"model": "0"}, "the model changed since it began"),
        ("digests", {"data": "0"}, "the data changed since it began"),
        ("digests", {"model": "0", "data": "0"}, "the model changed since it began; the data changed since it began"),
    ],
)
def test_what_has_changed_is_named_and_refused(
    edgett: Call, finished: Finished, tmp_path: Path, part: str, values: dict[str, str], told: str
) -> None:
    place = unfinished(finished, tmp_path / "cut")
    changed(place, part, **values)
    before = files(place)

    answer = edgett("compress", "--out", place, "--resume", "-q")

    assert answer.code == 2
    assert answer.err.splitlines() == [f"error: the run in {place} cannot go on: {told}.", CURE]
    assert files(place) == before


def test_all_that_has_changed_is_named_at_once(edgett: Call, finished: Finished, tmp_path: Path) -> None:
    place = unfinished(finished, tmp_path / "cut")
    changed(place, "versions", keras="3.14.1", numpy="2.0.0", onnx="0.1")  # which does not train
    changed(place, "digests", code="0")

    answer = edgett("compress", "--out", place, "--resume", "-q", "--json")

    assert answer.document["error"]["cure"] == CURE
    assert answer.document["error"]["message"] == (
        f"the run in {place} cannot go on: keras was 3.14.1, is {version('keras')}; numpy was 2.0.0, is"
        f" {version('numpy')}; edgett's code changed since it began."
    )


def test_run_of_an_edgett_that_wrote_less_down_is_refused(edgett: Call, finished: Finished, tmp_path: Path) -> None:
    place = unfinished(finished, tmp_path / "cut")
    asked = json.loads((place / "run.json").read_text())
    del asked["versions"], asked["digests"]["code"]
    (place / "run.json").write_text(json.dumps(asked))

    answer = edgett("compress", "--out", place, "--resume")

    assert answer.code == 2
    assert f"edgett was None, is {version('edgett')}" in answer.err


def test_finished_run_is_shown_whatever_has_changed(edgett: Call, finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    changed(tmp_path / "run", "versions", keras="3.14.1")
    changed(tmp_path / "run", "digests", code="0")

    shown = edgett("compress", "--out", "run", "--resume", "--json").document
    assert shown == finished.document | {"run": "run"}


def test_number_of_processes_may_change(edgett: Call, finished: Finished, tmp_path: Path) -> None:
    place = tmp_path / "run"
    shutil.copytree(finished.path, place)
    changed(place, "options", jobs={"value": 3, "from": "command line"})
    assert edgett("compress", "--out", place, "--resume", "--jobs", "7").code == 0


@pytest.mark.parametrize(("before", "now"), [(0, 7), (7, 0), (None, 0)])
def test_none_at_all_is_another_run(
    edgett: Call, finished: Finished, tmp_path: Path, before: int | None, now: int
) -> None:
    place = tmp_path / "run"
    shutil.copytree(finished.path, place)
    changed(place, "options", jobs={"value": before, "from": "command line"})
    answer = edgett("compress", "--out", place, "--resume", "--jobs", now)
    assert answer.code == 2 and "jobs was" in answer.err and "0 (all threads of one process" in answer.err


def cut_journal(place: Path) -> None:
    os.truncate(place / "journal.sqlite", 8192)


def journal_of_a_newer_edgett(place: Path) -> None:
    with closing(sqlite3.connect(place / "journal.sqlite")) as sql:
        sql.execute(f"PRAGMA user_version = {SCHEMA + 1}")


def trial_of_another_shape(place: Path) -> None:
    with closing(sqlite3.connect(place / "journal.sqlite")) as sql, sql:
        sql.execute("UPDATE trials SET trial = '{}'")


def damaged_run_json(place: Path) -> None:
    (place / "run.json").write_text('{"schema": 2, ')


def run_json_of_another_shape(place: Path) -> None:
    (place / "run.json").write_text('{"schema": 2, "options": {"target": {"value": 7}}, "digests": {}}')


@pytest.mark.parametrize(
    ("damage", "code", "told"),
    [
        (cut_journal, 6, "journal.sqlite"),
        (journal_of_a_newer_edgett, 2, f"schema {SCHEMA + 1}, of a newer edgett; this one reads schema {SCHEMA}"),
        (trial_of_another_shape, 2, "journal.sqlite: trial "),
        (damaged_run_json, 2, "run.json cannot be read"),
        (
            run_json_of_another_shape,
            2,
            "run.json is damaged, or of another version of edgett: options.target.from is missing",
        ),
    ],
)
def test_damage_is_told_in_two_lines_with_the_cure(
    edgett: Call, finished: Finished, tmp_path: Path, damage: Callable[[Path], None], code: int, told: str
) -> None:
    place = unfinished(finished, tmp_path / "cut")
    damage(place)

    answer = edgett("compress", "--out", place, "--resume", "--quiet")

    assert answer.code == code
    error, cure = answer.err.splitlines()
    assert told in error
    assert "--fresh" in cure


def test_resume_and_fresh_go_on_where_nothing_has_changed(
    edgett: Call, finished: Finished, tiny: Tiny, tmp_path: Path
) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    before = files(tmp_path / "run")
    answer = edgett("compress", *tiny.arguments, *EASY, "--out", "run", "--resume", "--fresh")
    assert answer.code == 0 and "starting anew" not in answer.err
    assert files(tmp_path / "run") == before


@pytest.mark.slow
def test_resume_and_fresh_start_anew_where_anything_has(
    edgett: Call, finished: Finished, tiny: Tiny, tmp_path: Path
) -> None:
    """Also where an option is no longer given, which `--resume` alone takes for one that stays."""
    shutil.copytree(finished.path, tmp_path / "run")
    small = ("--model-bytes", "1 KiB")  # nothing is, so that nothing is trained
    answer = edgett("compress", *tiny.arguments, *small, "--out", "run", "--resume", "--fresh")
    assert answer.code == 4
    assert "starting anew: the run in run was asked for something else: " in answer.err
    assert "max_drop was 100.0, now not set; model_bytes was 100 %, now 1 KiB" in answer.err
    changed(tmp_path / "run", "digests", model="0" * 64)
    answer = edgett("compress", *tiny.arguments, *small, "--out", "run", "--resume", "--fresh")
    assert answer.code == 4 and "the model changed since it began" in answer.err
    assert edgett("compress", *tiny.arguments, *small, "--out", "other", "--resume", "--fresh").code == 4


@pytest.mark.parametrize("name", ["notes.txt", "run.json"])
def test_fresh_leaves_alone_what_is_no_run(edgett: Call, tmp_path: Path, name: str) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / name).write_text("{}")

    answer = edgett("compress", "--target", "host", "--out", "place", "--fresh")

    assert answer.code == 2
    assert "no run of edgett's: --fresh leaves it alone" in answer.err
    assert [path.name for path in (tmp_path / "place").iterdir()] == [name]


def test_fresh_with_unusable_input_keeps_the_old_run(
    edgett: Call, finished: Finished, tiny: Tiny, tmp_path: Path
) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    before = files(tmp_path / "run")
    for arguments, code in (
        ((tiny.model, "--data", "none.npz", "--target", "host"), 3),
        (("none.keras", "--data", tiny.data, "--target", "host"), 3),
        ((tiny.model, "--data", tiny.data, "--target", "nowhere"), 3),
        ((tiny.model, "--data", tiny.data), 2),
    ):
        assert edgett("compress", *arguments, "--out", "run", "--fresh").code == code
        assert files(tmp_path / "run") == before


@pytest.mark.slow
def test_fresh_starts_anew_with_the_options_given_now(
    edgett: Call, finished: Finished, tiny: Tiny, tmp_path: Path
) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    changed(tmp_path / "run", "versions", edgett="0.0.9")
    (tmp_path / "run" / "notes.txt").write_text("mine")

    # Nothing is that small, so that nothing is trained.
    answer = edgett("compress", *tiny.arguments, "--model-bytes", "1 KiB", "--out", "run", "--fresh", "--json")

    assert answer.code == 4
    asked = json.loads((tmp_path / "run" / "run.json").read_text())
    assert asked["options"]["model_bytes"]["value"] == "1 KiB"
    assert asked["versions"]["edgett"] == version("edgett")
    assert asked["outcome"]["trials"] == []
    with closing(Run.resume(tmp_path / "run")) as run:
        assert run.trials() == {}
    assert {path.stem for path in (tmp_path / "run" / "artifacts").iterdir()} == {"baseline", "samples"}
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_read_only_directory_is_told(tmp_path: Path) -> None:
    code = """if True:
        import subprocess, sys
        subprocess.run(["mount", "-o", "remount,ro", "."], check=True)
        from edgett.cli import run
        sys.exit(run(["compress", "--target", "host", "--out", "run"]))
    """
    done = mounted(tmp_path, "size=400k", code)
    assert done.returncode == 6
    assert done.stderr.splitlines()[-2:] == [
        "error: run cannot be written: Read-only file system.",
        "Choose a directory you may write to with --out.",
    ]


def test_interface_refuses_like_the_command_line(finished: Finished, tiny: Tiny, tmp_path: Path) -> None:
    model, before = str(tiny.model), files(finished.path)
    with pytest.raises(UsageError, match="Give out=DIR"):
        edgett.compress(model, str(tiny.data), target="cortex-a53", resume=True)
    with pytest.raises(UsageError, match="Give out=DIR, and one of the two"):
        edgett.compress(model, str(tiny.data), target="cortex-a53", out=finished.path, resume=True, fresh=True)
    with pytest.raises(UsageError, match="epochs was 1, now 2"):
        edgett.compress(model, str(tiny.data), target="cortex-a53", out=finished.path, resume=True, epochs=2)
    with pytest.raises(UsageError, match="no run of edgett's"):
        edgett.compress(model, str(tiny.data), target="host", out=tiny.model.parent, fresh=True)
    with pytest.raises(UsageError, match="there is a run in"):
        edgett.compress(model, str(tiny.data), target="host", out=finished.path)
    with pytest.raises(DataError):
        edgett.compress(model, "none.npz", target="host", out=finished.path, fresh=True)
    assert files(finished.path) == before


@pytest.mark.slow
def test_interface_goes_on_and_starts_anew(finished: Finished, tiny: Tiny, tmp_path: Path) -> None:
    options = {"ranks": "2:6", "limit": 2, "epochs": 1, "batch_size": 64, "max_drop": 100.0, "model_bytes": "100 %"}
    missing = finished.document["trials"][1]["solution"]
    place = unfinished(finished, tmp_path / "cut", missing)

    def compress(**how: Any) -> dict[str, bytes]:
        done = edgett.compress(
            str(tiny.model), str(tiny.data), target="cortex-a53", out=place, jobs=0, **options, **how
        )
        assert done.release.ok
        return {path.name: path.read_bytes() for path in (place / "artifacts").iterdir()}

    wanted = {path.name: path.read_bytes() for path in (finished.path / "artifacts").iterdir()}
    kept = row(place, missing)
    assert kept is None
    assert compress(resume=True) == wanted
    trained = row(place, missing)
    assert compress(resume=True) == wanted  # a finished one too
    assert row(place, missing) == trained
    assert compress(fresh=True) == wanted
    assert row(place, missing) != trained  # another time


def row(place: Path, number: int) -> Any:
    with closing(sqlite3.connect(place / "journal.sqlite")) as sql:
        return sql.execute("SELECT trial FROM trials WHERE number = ?", (number,)).fetchone()


@pytest.mark.slow
def test_disk_that_fills_up_in_the_middle_of_training(tiny: Tiny, finished: Finished, tmp_path: Path) -> None:
    """A real one, with room for one trial: it stays, and --resume goes on when there is more."""
    arguments = [*tiny.arguments, *EASY, "--out", "run", "--jobs", "0", "--quiet"]
    code = f"""if True:
        import subprocess, sys
        from pathlib import Path
        from tests.cli.living import written
        command = [sys.executable, "-m", "edgett", "compress"]
        full = subprocess.run([*command, *{arguments!r}], stderr=subprocess.PIPE, text=True)
        kept = written(Path("run"))
        print(full.returncode, len(kept), full.stderr.splitlines())
        subprocess.run(["mount", "-o", "remount,size=40m", "."], check=True)
        done = subprocess.run([*command, "--out", "run", "--resume", "--json"], capture_output=True, text=True)
        assert kept.items() <= written(Path("run")).items()
        print(done.stdout)
    """
    done = mounted(tmp_path, "size=132k", code)
    first, _, document = done.stdout.partition("\n")
    code, kept, lines = first.split(" ", 2)
    assert (code, kept) == ("6", "1"), done
    assert "journal.sqlite cannot be used: database or disk is full." in lines
    assert "Free some disk space and go on with --resume." in lines
    assert json.loads(document)["picks"] == finished.document["picks"]


def test_help_tells_of_fresh(edgett: Call) -> None:
    out = edgett("compress", "--help").out
    flat = " ".join(out.split())
    assert "edgett compress --out runs/first --resume" in flat and "--out runs/first --resume --fresh" in flat
