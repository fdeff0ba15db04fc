"""What the README says, as far as it can be told without running it: see test_readme_runs for the rest."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer

from edgett import calibrating
from edgett.cli.app import app
from edgett.device.calibrate import Fit
from edgett.device.local import Local
from edgett.firmware.vela import VelaSummary
from edgett.report import document
from edgett.values import Refuge, Reverted, Trial
from tests.conftest import Answer, Finished, Tiny
from tests.device.test_calibrate import PLANTED
from tests.readme import BLOCKS, PROSE, README, ROOT, SPANS, TRY_IT, anchor, block_with, section
from tests.test_readme_runs import LANGUAGES

Call = Callable[..., Answer]


def test_every_block_is_of_a_language_that_is_run() -> None:
    assert {block.language for block in BLOCKS} <= LANGUAGES
    assert README.count("```") == 2 * len(BLOCKS)


def commands() -> Iterator[str]:
    """Every edgett command, of blocks and in the text."""
    for block in BLOCKS:
        if block.language == "sh" and block is not TRY_IT:
            yield from block.commands
    yield from (span for span in SPANS if re.match(r"edgett [a-z-]", span))


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_commands_are_understood(line: str) -> None:
    program, *words = shlex.split(line, comments=True)
    assert program == "edgett"
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
        if not words:
            return
    if hasattr(command, "commands"):
        assert {words[0]} <= {name for option in command.params for name in option.opts}
        return
    try:
        command.make_context(command.name, words)
    except typer.TyperException as error:
        # The text may leave out what is not its matter; a block may not.
        if type(error).__name__ != "MissingParameter" or line not in SPANS:
            raise


def test_options_exist() -> None:
    """Those that the text names without their command."""
    tree: Any = typer.main.get_command(app)
    groups = [tree, *(one for one in tree.commands.values() if hasattr(one, "commands"))]
    every = {
        name
        for group in groups
        for command in (group, *group.commands.values())
        for option in command.params
        for name in option.opts
    }
    named = {word for span in SPANS if span.startswith("--") for word in span.split() if word.startswith("--")}
    assert named <= every
    assert len(named) > 20


def test_extras_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = set(re.findall(r"edgett\[(\w+)\]", README))
    assert named == extras.keys() - {"test"}


@pytest.mark.parametrize("line", [span for span in SPANS if span.startswith("python ")])
def test_tools_take_the_options(line: str) -> None:
    _, tool, command, *words = line.split()
    done = subprocess.run([sys.executable, ROOT / tool, command, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    missing = [word for word in words if word.startswith("--") and word not in done.stdout]
    assert not missing


def test_links_lead_somewhere() -> None:
    anchors = {anchor(title) for title in re.findall(r"^##+ (.+)$", README, re.MULTILINE)}
    addresses = re.findall(r"\]\(([^)]+)\)", PROSE)
    assert {address[0] for address in addresses} >= {"#", "h", "t"}  # sections, pages, files
    for address in addresses:
        if address.startswith("#"):
            assert address[1:] in anchors, address
        elif not address.startswith("https://"):
            assert (ROOT / address).is_file(), address


def test_paths_exist() -> None:
    named = [span for span in SPANS if re.fullmatch(r"(tests|tools)/[\w./]+|[A-Z]+\.(md|cff)", span)]
    assert named
    for span in named:
        assert (ROOT / span).is_file(), span


def test_lines_are_short() -> None:
    text = re.sub(r"^\|.*$|^.*https://.*$", "", PROSE, flags=re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 120


def test_ci_runs_the_first_two_commands() -> None:
    """It takes them from here, and the environment that the first one makes is not on its PATH."""
    script = (ROOT / ".ci" / "run").read_text()
    (taken,) = re.findall(r"^mapfile -t lines < <\((.*)\)$", script, re.MULTILINE)
    done = subprocess.run(["bash", "-c", taken], cwd=ROOT, capture_output=True, text=True, check=True)
    assert tuple(done.stdout.splitlines()) == TRY_IT.commands
    runs = [script.index(f'bash -euo pipefail -c "${{lines[{index}]}}"') for index in range(2)]
    assert runs == sorted(runs) and not re.search(r"PATH=.*venv/bin", script[: runs[1]].replace("$VIRTUAL_ENV", ""))
    assert all(".venv/bin/" in line for line in TRY_IT.commands)


def test_the_citation_is_that_of_the_file() -> None:
    text, file = block_with("bibtex").text, (ROOT / "CITATION.cff").read_text()
    for key in ("doi", "year", "version", "title"):
        values = re.findall(rf"^ *{key}: (.+)$", file, re.MULTILINE)
        assert values, key
        for value in values:
            assert f"{{{value}}}" in text, (key, value)
    names = re.findall(r"family-names: (.+)", file)
    assert len(names) == 4
    for name in names:
        assert name in text


MAPS = {
    "artifacts",
    "shapes",
    "versions",
    "digests",
    "files",
    "slower_than_dense",
    "npu",
    "tolerances",
    "sources",
    "largest",
    "free",
}
"""What is a dictionary under such a key has names of the user's for keys: of layers, files, documents, budgets."""


def keys(value: Any, name: str = "") -> set[str]:
    """Every key of a document."""
    if isinstance(value, dict):
        own = set() if name in MAPS else set(value)
        return own.union(*(keys(item, key) for key, item in value.items()))
    if isinstance(value, list):
        return set[str]().union(*map(keys, value))
    return set()


GOLDEN = ROOT / "tests" / "report" / "golden"


@pytest.fixture
def real(edgett: Call, finished: Finished, tiny: Tiny, tmp_path: Path) -> set[str]:
    """The keys of every document that is printed."""

    def printed(*arguments: object) -> set[str]:
        answer = edgett(*arguments, "--json")
        assert answer.code in (0, 4), answer.err
        return keys(answer.document)

    # test_facts sees to it that these are what runs write today.
    found = keys([json.loads(path.read_text())["outcome"] for path in GOLDEN.glob("*/run.json")])
    found |= keys([json.loads(path.read_text()) for path in GOLDEN.glob("*/bench-*.json")])
    found |= keys(finished.document)
    found |= {"error", "code", "kind", "message", "cure"} & keys(edgett("explore", "--layer", "x", "--json").document)
    found |= printed("explore", tiny.model, "--search", "pareto")
    found |= printed("explore", "--layer", "64x48") | printed("check", finished.path)
    found |= printed("export", finished.path, "--format", "tflite", "--out", tmp_path / "out")
    found |= keys(json.loads(edgett("report", finished.path, "--format", "json").out))
    found |= printed("targets", "list") | printed("targets", "show", "cortex-m4")
    found |= printed("firmware", "pack", finished.path, "--out", tmp_path / "package", "--name", "tiny")
    found |= printed(
        "firmware", "pack", finished.path, "--out", tmp_path / "tflm", "--name", "tiny", "--format", "tflm"
    )
    found |= printed("doctor")
    found |= printed("firmware", "check", tmp_path / "package", "--run", finished.path)
    (tmp_path / "main.c").write_text("int app_run(void) { return 0; }\nint main(void) { return app_run(); }\n")
    subprocess.run(["gcc", "main.c", "-o", "app"], cwd=tmp_path, check=True)
    found |= printed("firmware", "size", tmp_path / "app", "--target", "host", "--name", "app")
    return found | rare(tmp_path)


def rare(folder: Path) -> set[str]:
    """Of what few runs come to, or takes minutes: a layer that goes back, Vela, a calibration."""
    back = SimpleNamespace(reverted=[Reverted("wide", Refuge.FLOAT32, 2.0, 1.0, 20.0)])
    found = keys(document._reverted(cast(Trial, back)))
    found |= keys(calibrating._document(folder / "mine.toml", Local(), "here", Fit(PLANTED, 0.1, 0.2)))
    return found | {field.name for field in fields(VelaSummary)}


@pytest.mark.slow
def test_the_documents_are_described(real: set[str]) -> None:
    """Each key of a real document is in the README, and each that is there is in a real one."""
    text = section("JSON")
    named = {span for span in re.findall(r"`([^`]+)`", text) if re.fullmatch(r"[a-z][a-z0-9_]*", span)}
    assert named - real == set()
    assert real - named == set()
