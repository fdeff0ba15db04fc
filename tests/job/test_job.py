"""edgett.toml and the job: which value wins, where it came from, and every mistake."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from edgett.errors import EdgettError, ProfileError, UsageError
from edgett.job.job import Job, Project, load_project, resolve
from edgett.search.choices import EmptyTiles, Strategy
from edgett.search.constraints import Objective


def project(folder: Path, text: str) -> Project:
    path = folder / "edgett.toml"
    path.write_text(text, encoding="utf-8")
    return load_project(path)


def test_command_line_over_file_over_profile_over_default(tmp_path: Path) -> None:
    file = project(tmp_path, 'target = "host"\nepochs = 5\nseed = 7\nmax_drop = 2\nonly_layer = ["fc1"]\n')

    job, origins = resolve({"epochs": 9, "seed": 0, "model": None, "skip_layer": ["fc2"]}, file)

    assert (job.epochs, origins["epochs"]) == (9, "command line")
    assert (job.seed, origins["seed"]) == (0, "command line")
    assert (job.skip_layer, origins["skip_layer"]) == (("fc2",), "command line")
    assert (job.target, origins["target"]) == ("host", "edgett.toml")
    assert (job.max_drop, origins["max_drop"]) == (2.0, "edgett.toml")
    assert (job.only_layer, origins["only_layer"]) == (("fc1",), "edgett.toml")
    assert (job.objective, origins["objective"]) == (None, "profile")
    assert (job.model, origins["model"]) == ("example:clock", "default")
    assert set(origins) == {field.name for field in fields(Job)}


@pytest.mark.parametrize(
    ("given", "text", "search", "origin"),
    [
        ({}, "", Strategy.PARETO, "default"),
        ({"ranks": "2:4"}, "", Strategy.GRID, "command line"),
        ({"max_rank": 8}, "", Strategy.PARETO, "command line"),
        ({}, "grid = 4", Strategy.GRID, "edgett.toml"),
        ({"max_rank": 8}, "grid = 4", Strategy.PARETO, "command line"),
        ({"ranks": "2:4"}, "max_rank = 8", Strategy.GRID, "command line"),
        ({"search": Strategy.PARETO}, "grid = 4", Strategy.PARETO, "command line"),
        ({"max_rank": 8}, 'search = "pareto"', Strategy.PARETO, "edgett.toml"),
    ],
)
def test_options_of_one_search_mean_it(
    tmp_path: Path, given: dict[str, Any], text: str, search: Strategy, origin: str
) -> None:
    job, origins = resolve({"target": "host"} | given, project(tmp_path, text))
    assert (job.search, origins["search"]) == (search, origin)


def test_options_of_both_searches_do_not_go_together() -> None:
    with pytest.raises(UsageError, match="--max-rank belongs to --search pareto, this is grid"):
        resolve({"target": "host", "ranks": "2:4", "max_rank": 8}, Project())


def test_every_option_can_stand_in_the_file() -> None:
    assert set(Project.model_fields) == {field.name for field in fields(Job)}
    assert all(field.description for field in Project.model_fields.values())


@pytest.mark.parametrize("place", ["command line", "edgett.toml"])
def test_all_candidates_can_be_asked_for_in_either_place(tmp_path: Path, place: str) -> None:
    given, text = ({"limit": "all"}, "") if place == "command line" else ({}, 'limit = "all"')

    job, origins = resolve({"target": "host"} | given, project(tmp_path, text))

    assert (job.limit, origins["limit"]) == (None, place)


def test_closed_sets_are_read(tmp_path: Path) -> None:
    job, _ = resolve({"target": "host"}, project(tmp_path, 'empty_tiles = "nearest"\nobjective = "memory"'))

    assert (job.empty_tiles, job.objective) == (EmptyTiles.NEAREST, Objective.MEMORY)
    assert job.budget["objective"] is Objective.MEMORY


def test_no_file_is_an_empty_project(tmp_path: Path) -> None:
    assert load_project(tmp_path / "edgett.toml") == Project()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("epoch = 3", ("epoch is unknown", "Did you mean 'epochs'?")),
        ("zzz = 3", ("zzz is unknown", "the keys there are model, data, target")),
        ('epochs = "3"', ("epochs is '3'", "a valid integer")),
        ("epochs = 0", ("epochs is 0", "greater than or equal to 1")),
        ("epochs = true", ("epochs is True", "a valid integer")),
        ('limit = "some"', ("limit is 'some'", "a whole number, at least 1, or 'all'")),
        ("limit = 0", ("limit is 0", "'all'")),
        ("limit = true", ("limit is True",)),
        ("share = 1.0", ("share is 1.0", "less than 1")),
        ("share = nan", ("share is nan",)),
        ("max_drop = -1", ("max_drop is -1",)),
        ("seed = -1", ("seed is -1",)),
        ('only_layer = "fc"', ("only_layer is 'fc'", "list")),
        ("only_layer = [1]", ("only_layer.0 is 1", "string")),
        ('empty_tiles = "fill"', ("empty_tiles is 'fill'", "'skip' or 'nearest'")),
        ("target = 3", ("target is 3", "string")),
        ("[table]\na = 1", ("table is unknown",)),
        ("x = [", ("is not TOML in UTF-8",)),
    ],
)
def test_mistake_in_the_file_is_told_with_file_key_and_what_may_be(
    tmp_path: Path, text: str, told: tuple[str, ...]
) -> None:
    with pytest.raises(ProfileError) as caught:
        project(tmp_path, text)

    for words in (str(tmp_path / "edgett.toml"), *told):
        assert words in str(caught.value)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"(?s)grid is 0.*epochs is 0"):
        project(tmp_path, "epochs = 0\ngrid = 0")


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "edgett.toml").write_bytes(b'target = "\xff"')
    with pytest.raises(ProfileError, match="not TOML in UTF-8"):
        load_project(tmp_path / "edgett.toml")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ProfileError, match="cannot be read"):
        load_project(tmp_path / "folder")


def test_target_is_needed() -> None:
    with pytest.raises(UsageError, match="no target is named"):
        resolve({}, Project())


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0}, {"epochs": 0}, {"batch_size": 0}, {"patience": 0}, {"batch": 0}, {"share": 1.0}, {"share": -0.1},
        {"share": float("nan")}, {"seed": -1}, {"seed": 2**32}, {"ranks": "5:2"}, {"ranks": "x"}, {"grid": 0},
        {"metric": "a:b:c"},
    ],
)  # fmt: skip
def test_job_checks_itself(wrong: dict[str, object]) -> None:
    with pytest.raises(EdgettError) as caught:
        Job(target="host", **wrong)  # type: ignore[arg-type]

    assert caught.value.exit_code == 2
    assert caught.value.cure


@pytest.mark.parametrize(
    ("model", "title"), [("example:clock", "clock"), ("a/b/net.keras", "net"), ("net.v2.h5", "net.v2")]
)
def test_title(model: str, title: str) -> None:
    assert Job(target="host", model=model).title == title
