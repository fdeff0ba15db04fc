"""What stands beside the code: CONTRIBUTING.md, the hooks of pre-commit, the mark of a typed package."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LONGEST
from tests.firmware.tools import needs
from tests.readme import ROOT
from tests.test_imports import LEVELS
from tests.where import TESTED_IN

GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
HOOKS = (ROOT / ".pre-commit-config.yaml").read_text()
WORDS = {"FORM", "FORMAT", "KIND", "METHOD", "NAME"}
"""What stands for a name of the reader's own."""


TESTS = ROOT / "tests"


def has_tests(file: str) -> bool:
    path = TESTS / file
    return path.is_file() and re.search(r"^ *def test_", path.read_text(), re.MULTILINE) is not None


def called(module: str) -> str:
    """The file that has a module's tests, where it has one of its own."""
    folder, _, name = module.rpartition("/")
    return f"{folder}/test_{name}".removeprefix("/")


def paths() -> Iterator[str]:
    """Every path that the guide names: in the text from the root, in the drawing of a job's way from the package."""
    for span in re.findall(r"`([^`\n]+)`", GUIDE):
        if re.fullmatch(r"\.?[\w.-]+(/[\w.-]*)+|[\w-]+\.(md|toml|py)|\.[\w-]+\.yaml", span):
            yield span
    drawn = GUIDE.split("```text\n")[2].split("```")[0]
    for word in re.findall(r"[\w/]+\.(?:py|json|html)|[a-z]+/", drawn):
        if word.endswith((".py", "/")):
            yield f"edgett/{word}"


def test_every_path_in_the_guide_exists() -> None:
    named = {path for path in paths() if not WORDS & set(re.split(r"[/.]", path))}
    assert len(named) > 40
    assert not [path for path in sorted(named) if not (ROOT / path).exists()]


def test_the_house_is_drawn_as_it_stands() -> None:
    """Floor by floor from the top, every package and every module beside them."""
    drawn = GUIDE.split("```text\n")[1].split("```")[0]
    floors = [set(re.split(r"  +", line)[0].split()) for line in drawn.splitlines()]
    assert floors == list(reversed(LEVELS))


def test_the_guide_is_short_and_knows_the_markers() -> None:
    assert GUIDE.count("\n") < 180 and max(map(len, GUIDE.splitlines())) <= 120
    marked = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    assert {name.partition(":")[0] for name in marked} == {"slow", "long"}
    assert {"| `slow` |", "| `long` |"} <= {found[0] for found in re.finditer(r"\| `\w+` \|", GUIDE)}


def test_the_tests_of_every_module_are_found_by_its_name() -> None:
    """In the file that is called like it, or through the table of what is tested from outside; never both."""
    package = ROOT / "edgett"
    found = {str(path.relative_to(package)) for path in package.rglob("*.py") if not path.name.startswith("__")}
    own = {module for module in found if (TESTS / called(module)).exists()}
    assert list(TESTED_IN) == sorted(TESTED_IN)
    untold, gone, twice = found - own - set(TESTED_IN), set(TESTED_IN) - found, set(TESTED_IN) & own
    assert (untold, gone, twice) == (set(), set(), set())
    assert not [called(module) for module in sorted(own) if not has_tests(called(module))]


def test_the_table_names_files_that_have_tests() -> None:
    assert {len(set(files)) for files in TESTED_IN.values()} <= {1, 2, 3}
    assert not [(module, file) for module, files in TESTED_IN.items() for file in files if not has_tests(file)]


def test_the_files_that_take_longest_are_there() -> None:
    assert not [name for name in LONGEST if not any(TESTS.rglob(name))]


def test_the_environment_variables_of_tests_are_told() -> None:
    used = set()
    for path in (ROOT / "tests").rglob("*.py"):
        used |= set(re.findall(r"EDGETT_TEST_[A-Z]+", path.read_text()))
    assert used == set(re.findall(r"EDGETT_TEST_[A-Z]+", GUIDE))


def test_the_hooks_run_what_the_check_runs() -> None:
    """Formatting is put right where the check but looks."""
    check = (ROOT / "tools" / "check").read_text()
    asked = re.findall(r"^((?:ruff|mypy)\b.*)$", check, re.MULTILINE)
    assert asked == ["ruff format --check .", "ruff check .", "mypy"]
    assert re.findall(r"^ +entry: (.+)$", HOOKS, re.MULTILINE) == [line.replace(" --check", "") for line in asked]


def test_the_hooks_download_nothing() -> None:
    assert re.findall(r"repo: (\S+)", HOOKS) == ["local"]
    assert re.findall(r"language: (\S+)", HOOKS) == ["system"] * HOOKS.count("- id: ")
    assert "additional_dependencies" not in HOOKS


def test_types_are_there_for_others() -> None:
    assert (ROOT / "edgett" / "py.typed").read_text() == ""


def test_the_wheel_says_that_it_is_typed() -> None:
    installed = {str(path) for path in importlib.metadata.files("edgett") or ()}
    if "edgett/__init__.py" not in installed:
        pytest.skip("edgett is installed from the source tree")
    assert "edgett/py.typed" in installed


@needs("git")
def test_what_runs_and_builds_leave_is_ignored(tmp_path: Path) -> None:
    left = ["runs/a/run.json", "dist/edgett.whl", "build/x", ".venv/bin/python", "edgett.egg-info/PKG-INFO"]
    left += ["tests/__pycache__/a.pyc", ".pytest_cache/v", ".mypy_cache/v", ".ruff_cache/v", ".hypothesis/v"]
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    asked = ["git", "check-ignore", *left, "edgett/py.typed", "targets/host.toml", "tests/report/golden/run/run.json"]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == left
