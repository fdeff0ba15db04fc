"""`edgett schema`: every document that edgett prints or writes, described key by key, and held by what is real."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import keras
import numpy as np
import pytest
import typer

from edgett.cli.app import app
from edgett.device.calibrate import Fit
from edgett.device.counted import CountFit
from edgett.device.local import Local
from edgett.firmware.vela import VelaSummary
from edgett.schema.documents import DOCUMENTS
from edgett.schema.run import Npu
from edgett.search.solution import LearntInt8, Refuge, Reverted, Trial
from edgett.workflow import calibrate, count, document
from tests import schemas
from tests.conftest import Answer, Finished, Tiny
from tests.device.test_calibrate import PLANTED
from tests.device.test_counted import PLANTED as RATES
from tests.readme import ROOT, SPANS

Call = Callable[..., Answer]
GOLDEN = ROOT / "tests" / "report" / "golden"
FILES = sorted({*GOLDEN.glob("run/*.json"), *GOLDEN.glob("*/report.json")})
"""What is written today: the other runs are of older days."""
EVERY = pytest.mark.parametrize("name", DOCUMENTS)


def commands(command: Any, *before: str) -> Iterator[tuple[str, Any]]:
    """Every command by its words."""
    for name, inner in getattr(command, "commands", {}).items():
        yield " ".join((*before, name)), inner
        yield from commands(inner, *before, name)


def tables(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table of a schema, by the name of its type."""
    schema = schemas.validator(name).schema
    assert isinstance(schema, dict)
    for kind, table in {name: schema, **schema.get("$defs", {})}.items():
        if "properties" in table:
            yield kind, table


def test_every_command_that_prints_json_is_described() -> None:
    printing = {
        name for name, command in commands(typer.main.get_command(app)) for p in command.params if "--json" in p.opts
    }
    assert printing | {"report", "run.json", "error"} == DOCUMENTS.keys()


@EVERY
def test_schemas_say_what_they_are_of(name: str, edgett: Call) -> None:
    answer = edgett("schema", *name.split())

    assert (answer.code, answer.err) == (0, "")
    assert answer.document == schemas.validator(name).schema
    assert answer.document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert answer.document["title"] == DOCUMENTS[name].met


@EVERY
def test_every_key_is_described_and_no_other_allowed(name: str) -> None:
    for kind, table in tables(name):
        assert table["additionalProperties"] is False, kind
        for key, value in table["properties"].items():
            assert value.get("description"), f"{kind}.{key}"
            assert not {"title", "default"} & set(value), f"{kind}.{key}"


def test_without_a_name_the_documents_are_listed(edgett: Call) -> None:
    lines = edgett("schema").out.splitlines()

    assert [re.split(r"  +", line) for line in lines] == [[name, one.met] for name, one in DOCUMENTS.items()]


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["comprss"], "compress"),
        (["firmware", "pak"], "firmware pack"),
        (["check.json"], "check"),
        (["run"], "run.json"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(words: list[str], nearest: str, edgett: Call) -> None:
    answer = edgett("schema", *words)

    assert (answer.code, answer.out) == (2, "")
    assert f"there is no document '{' '.join(words)}'" in answer.err and f"Did you mean {nearest}?" in answer.err
    assert f"There are: {', '.join(DOCUMENTS)}." in answer.err


def test_nothing_is_near_what_is_far(edgett: Call) -> None:
    answer = edgett("schema", "zzz")
    assert answer.code == 2 and "Did you mean" not in answer.err and "There are: compress, deploy," in answer.err


def of(place: Path) -> str:
    """Which document a golden file is."""
    return {"run.json": "run.json", "report.json": "report"}.get(place.name, "bench")


@pytest.mark.parametrize("place", FILES, ids=lambda place: f"{place.parent.name}/{place.name}")
def test_golden_files_are_as_described(place: Path) -> None:
    schemas.hold(of(place), json.loads(place.read_text()))


def test_what_tells_of_files_that_nobody_names_is_refused() -> None:
    content = json.loads((GOLDEN / "run" / "run.json").read_text())
    checked = content["outcome"]["check"]
    checked["artifacts"]["../outside.tflite"] = next(iter(checked["artifacts"].values()))

    assert "outside" in schemas.fault("check", checked)


SURPRISE: Any = {"": []}
"""Nothing that any key may be."""


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("run/run.json", marks=pytest.mark.slow),
        "run/bench-local.json",
        "run/bench-emulator.json",
        "run/report.json",
    ],
)
def test_what_is_not_as_described_is_refused(place: str) -> None:
    """A key too many in each kind of table, and another type under each of its keys, one at a time."""
    whole = brief(json.loads((GOLDEN / place).read_text()))
    validator = schemas.validator(of(Path(place)))
    assert validator.is_valid(whole)

    kinds = {tuple(table): table for table in everywhere(whole)}
    for table in kinds.values():
        before = dict(table)
        for key in (*before, "surprise"):
            table[key] = SURPRISE
            assert not validator.is_valid(whole), (key, before)
            table.clear()
            table.update(before)
    assert len(kinds) >= 4


def brief(value: Any) -> Any:
    """A document with one entry of each list; without options, whose values may be anything."""
    if isinstance(value, list):
        return [brief(item) for item in value[:1]]
    if not isinstance(value, dict):
        return value
    return {key: {} if key == "options" else brief(item) for key, item in value.items()}


def everywhere(value: Any) -> Iterator[dict[str, Any]]:
    """Every table in a document."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from everywhere(item)


@pytest.mark.parametrize(
    "change", [{"schema": 1}, {"error": None}, {"error": {"code": 2}}, {"more": 1}], ids=lambda change: str(change)
)
def test_an_error_has_its_form(change: dict[str, Any], edgett: Call) -> None:
    whole = edgett("explore", "--layer", "x", "--json").document

    assert not schemas.fault("error", whole) and schemas.fault("error", whole | change)


def test_the_fixture_holds_what_is_printed(edgett: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or no other test would notice a key that nobody has described."""
    from edgett.report import profiles

    monkeypatch.setattr(profiles, "listed", lambda targets: {"schema": 2, "targets": [], "more": 1})

    with pytest.raises(AssertionError, match=r"targets list: \$.*'more' was unexpected"):
        edgett("targets", "list", "--json")


def test_the_readme_names_documents_that_there_are() -> None:
    named = {span.removeprefix("edgett schema ") for span in SPANS if span.startswith("edgett schema ")}
    assert named and named <= DOCUMENTS.keys()


def test_what_vela_says_can_be_read() -> None:
    said = asdict(VelaSummary("ethos-u55-128", "system", "Shared_Sram", 7, 1, ("logits",), 5, 6, 7, 8))

    read = Npu.model_validate(json.loads(json.dumps(said)))

    assert json.loads(read.model_dump_json()) == json.loads(json.dumps(said))


MAPS = {
    "artifacts",
    "edits",
    "versions",
    "digests",
    "files",
    "slower_than_dense",
    "npu",
    "tolerances",
    "sources",
    "largest",
    "free",
    "kernels",
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


@pytest.fixture
def real(edgett: Call, finished: Finished, tiny: Tiny, tmp_path: Path) -> set[str]:
    """The keys of every document that is printed."""

    def printed(*arguments: object) -> set[str]:
        answer = edgett(*arguments, "--json")
        assert answer.code in (0, 4), answer.err
        return keys(answer.document)

    # test_facts sees to it that these are what runs write today.
    found = keys([json.loads(path.read_text()) for path in GOLDEN.glob("*/*.json")])
    found |= keys(finished.document)
    found |= keys(edgett("explore", "--layer", "x", "--json").document)
    found |= printed("explore", tiny.model, "--search", "pareto")
    found |= printed("explore", "--layer", "3x3x4x4@4x4", "--search", "pareto")
    found |= printed("explore", "--layer", "64x48") | printed("check", finished.path)
    found |= printed("export", finished.path, "--format", "tflite", "--out", tmp_path / "out")
    found |= printed("export", finished.path, "--format", "verilog", "--out", tmp_path / "hardware")
    found |= printed("targets", "list") | printed("targets", "show", "cortex-m4")
    found |= printed("firmware", "pack", finished.path, "--out", tmp_path / "package", "--name", "tiny")
    found |= printed(
        "firmware", "pack", finished.path, "--out", tmp_path / "tflm", "--name", "tiny", "--format", "tflm"
    )
    found |= printed("doctor")
    layers = [keras.Input((6, 6, 4)), keras.layers.Conv2D(8, 3, name="c"), keras.layers.Flatten()]
    convolved = keras.Sequential([*layers, keras.layers.Dense(2)])
    convolved.layers[0].kernel.assign(convolved.layers[0].kernel * np.arange(8))  # the first filter is dead
    convolved.save(tmp_path / "convolved.keras")
    found |= printed("explore", tmp_path / "convolved.keras", "--search", "pareto", "--share", "0")
    found |= printed("slim", tmp_path / "convolved.keras", "--out", tmp_path / "slim.keras")
    trained = ("--target", "host", "--epochs", 2, "--flops", "60 %", "--out", tmp_path / "trained.keras")
    found |= printed("train", tiny.model, "--data", tiny.data, *trained)
    attacked = ("--target", "host", "--attack", "pgd", "--out", tmp_path / "attacked")
    found |= printed("deploy", tiny.model, "--data", tiny.data, *attacked)
    found |= printed("firmware", "check", tmp_path / "package", "--run", finished.path)
    (tmp_path / "main.c").write_text("int app_run(void) { return 0; }\nint main(void) { return app_run(); }\n")
    subprocess.run(["gcc", "main.c", "-o", "app"], cwd=tmp_path, check=True)
    found |= printed("firmware", "size", tmp_path / "app", "--target", "host", "--name", "app")
    return found | few(tmp_path)


def few(folder: Path) -> set[str]:
    """Of what few runs come to, or takes minutes: a layer that goes back, Vela, a calibration."""
    back = SimpleNamespace(reverted=[Reverted("wide", Refuge.FLOAT32, 2.0, 1.0, 20.0)])
    learnt = SimpleNamespace(int8=LearntInt8(1, 2.0, 1.0, 1.0))
    found = keys(document._reverted(cast(Trial, back))) | keys(document._learnt(cast(Trial, learnt)))
    fit = Fit(PLANTED, mean=0.1, median=0.2, p90=0.3)
    made = json.loads(json.dumps(calibrate._document(folder / "mine.toml", Local(), "here", fit)))
    told = json.loads(json.dumps(count._document(folder / "mine.toml", "here", 3, CountFit(RATES, 0.1, 0.2))))
    for one in (made, told):
        schemas.hold("calibrate", one)
    return found | keys(made) | keys(told) | {field.name for field in fields(VelaSummary)}


@pytest.mark.slow
def test_what_is_described_is_real(real: set[str]) -> None:
    """No key is described that nobody writes; that none is written but those, the fixture holds."""
    described = {key for name in DOCUMENTS for _, table in tables(name) for key in table["properties"]}
    assert described - real == set()
