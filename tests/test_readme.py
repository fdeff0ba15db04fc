"""What the README says, as far as it can be told without running it: see test_readme_runs for the rest."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from edgett.cli.app import app
from tests.readme import BLOCKS, PROSE, README, ROOT, SPANS, TRY_IT, anchor, block_with
from tests.test_readme_runs import LANGUAGES


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


def test_it_is_a_page_and_no_book() -> None:
    assert len(README.splitlines()) < 400


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
