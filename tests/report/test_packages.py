"""What a terminal says of a package for a firmware build, and of whether one still is what was packed."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest

from edgett.graph.wire import WirePort
from edgett.report import packages
from edgett.schema import SCHEMA
from edgett.workflow.pack import _ports
from tests import schemas
from tests.report.test_terminal import drawn

SIZES = {
    "c": {"weight_bytes": 12_345, "workspace_bytes": 2_048, "ram_bytes": 2_310, "predicted_peak_bytes": 2_400},
    "tflm": {"model_bytes": 23_456, "arena_bytes": 7_168, "arena_head_bytes": 5_120, "arena_tail_bytes": 1_536,
             "predicted_peak_bytes": 5_632},
}  # fmt: skip


def manifest(format: str = "c") -> dict[str, Any]:
    """As `edgett firmware pack` writes it, of a model with two inputs and two outputs."""
    inputs = (WirePort("picture", "picture", (1, 28, 14), "int8", 0.5, 3), WirePort("age", "age", (1, 7), "float32"))
    outputs = (WirePort("digit", "digit", (1, 10), "int8", 0.25, -1), WirePort("sure", "sure", (1, 3), "float32"))
    document = {
        "schema": SCHEMA,
        "name": "dial",
        "format": format,
        "edgett": "0.1.0",
        "artefact": {"suffix": ".onnx", "sha256": "0" * 64},
        "sizes": SIZES[format],
        "run": {
            "solution": 41, "edits": {}, "target": {"name": "cortex-m4", "dtype": "int8"}, "seed": 0,
            "digests": {"model": "1", "data": "2"}, "versions": {"edgett": "0.1.0"}, "accuracy": [],
            "budgets": [
                {"name": "model_bytes", "limit": 65_536, "value": 12_345, "holds": True},
                {"name": "flops", "limit": None, "value": 999, "holds": None},
            ],
        },
        "ports": {"inputs": _ports(inputs), "outputs": _ports(outputs)},
        "self_test": {"vectors": 13, "tolerances": {"digit": 3.0, "sure": 1e-4}},
        "licence": {"model": "NOASSERTION", "generator": "somebody's"},
        "files": {},
    }  # fmt: skip
    schemas.hold("firmware pack", document)
    return document


def flat(document: dict[str, Any]) -> str:
    return " ".join(drawn(packages.draw_package, document).split())


class TestPackage:
    def test_what_is_slow_is_told(self) -> None:
        assert "plain loops" not in flat(manifest() | {"plain": 0})
        assert "plain loops compute 2 of the int8 products" in flat(manifest() | {"plain": 2})

    @pytest.mark.parametrize("format", ["c", "tflm"])
    def test_every_size_stands_beside_its_name(self, format: str) -> None:
        lines = [" ".join(line.split()) for line in drawn(packages.draw_package, manifest(format)).splitlines()]

        for key, value in SIZES[format].items():
            assert f"{packages._SIZES[key]} {value:,}" in lines
        others = packages._SIZES.keys() - SIZES[format].keys()
        assert not [key for key in others if any(line.startswith(packages._SIZES[key]) for line in lines)]

    def test_every_size_that_a_package_may_have_has_words(self) -> None:
        assert packages._SIZES.keys() == SIZES["c"].keys() | SIZES["tflm"].keys()

    def test_what_it_is_of_and_for(self) -> None:
        assert "dial: solution 41 for cortex-m4, int8, as C99" in flat(manifest())
        assert "int8, as a model for LiteRT for Microcontrollers" in flat(manifest("tflm"))

    def test_every_port_with_its_type_and_shape(self) -> None:
        text = flat(manifest())

        for words in (
            "input picture: int8_t 1 x 28 x 14", "input age: float 1 x 7",
            "output digit: int8_t 1 x 10", "output sure: float 1 x 3",
        ):  # fmt: skip
            assert words in text

    def test_the_vectors_are_counted_and_told_of(self) -> None:
        document = manifest()
        assert "self-test: dial_selftest, 13 vectors of validation data" in flat(document)
        document["self_test"]["vectors"] = 1
        assert "dial_selftest, 1 vector of validation data" in flat(document)
        del document["run"]["digests"]["data"]
        assert "1 vector of random inputs, for want of data" in flat(document)

    def test_how_a_build_takes_it(self) -> None:
        text = flat(manifest())
        assert "add_subdirectory, then link edgett::dial." in text and "include dial.mk." in text

    def test_what_is_broken_is_told_and_nothing_else(self) -> None:
        document = manifest()
        assert "over the run's" not in flat(document)

        document["run"]["budgets"] += [
            {"name": "flops", "limit": 1_200_000, "value": 1_234_567, "holds": False},
            {"name": "accuracy_drop_pp", "limit": 1.5, "value": 1.625, "holds": False},
        ]

        text = flat(document)
        assert "flops is 1,234,567: over the run's 1,200,000" in text
        assert "accuracy_drop_pp is 1.625: over the run's 1.5" in text
        assert text.count("over the run's") == 2


class TestCheck:
    WHOLE: ClassVar[dict[str, Any]] = {
        "schema": SCHEMA, "package": "firmware/dial", "name": "dial", "ok": True, "changed": [], "missing": [],
        "foreign": [], "stale": [], "packed_by": "0.1.0",
    }  # fmt: skip

    def lines(self, **found: object) -> list[str]:
        document = copy.deepcopy(self.WHOLE) | found
        schemas.hold("firmware check", document)
        return drawn(packages.draw_check, document).splitlines()

    def test_whole(self) -> None:
        assert self.lines() == ["dial: as it was packed (by edgett 0.1.0)"]

    @pytest.mark.parametrize("kind", ["changed", "missing", "stale"])
    def test_each_that_is_wrong_is_told(self, kind: str) -> None:
        assert self.lines(ok=False, **{kind: ["src/dial.c", "dial.mk"]}) == [
            f"{kind}: src/dial.c", f"{kind}: dial.mk", "dial: not what was packed (by edgett 0.1.0)",
        ]  # fmt: skip

    def test_what_is_foreign_is_told_and_nothing_wrong(self) -> None:
        assert self.lines(foreign=["build/mine.o"]) == [
            "foreign: build/mine.o", "dial: as it was packed (by edgett 0.1.0)",
        ]  # fmt: skip

    def test_all_at_once(self) -> None:
        found = self.lines(ok=False, changed=["a"], missing=["b"], stale=["its data"], foreign=["c"])
        assert found[:-1] == ["changed: a", "missing: b", "stale: its data", "foreign: c"]

    def test_a_file_whose_name_is_none_stays_on_its_line(self) -> None:
        (line, _) = self.lines(foreign=["mine\x1b[31m\n.txt"])
        assert line.startswith("foreign: mine") and "\x1b" not in line and line.endswith(".txt")
