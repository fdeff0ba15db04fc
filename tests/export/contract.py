"""What every exporter must keep: the same tests for each format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgett.device import local
from edgett.errors import ToolError
from edgett.export.check import compare, compare_outputs
from edgett.export.decisions import Decision
from edgett.export.operators import Ways
from edgett.export.owners import UNKNOWN
from edgett.graph.graph import Graph
from edgett.graph.memory import arena_bytes, live_bytes
from edgett.graph.op import TRANSPOSE
from edgett.graph.traits import Rule
from edgett.model import ports
from edgett.model.trace import trace
from tests.export import exported as zoo
from tests.export.exported import CASES, COMPARED, Exported, Format
from tests.export.test_operators import after, without

FORBIDDEN = {"EINSUM", "BATCHMATMUL", "SPLIT", "SPLITV", "PACK", "STACK", "UNPACK", "GATHER", "LOOP", "WHILE"}
WHOLE = [name for name, case in CASES.items() if not case.partial]


LOOSE = {"positions", "pixels"}
"""Behind the layers of these a transpose may belong to the next one, which reads them laid out otherwise."""


class ExporterContract:
    """Fill in `form`."""

    form: Format

    def made(self, name: str, batch: int = 1) -> Exported:
        return zoo.exported(name, self.form.suffix, batch)

    def read(self, made: Exported) -> Graph:
        return self.form.read(made.path, made.owners)

    @pytest.mark.parametrize("batch", [1, 4])
    @pytest.mark.parametrize("name", CASES)
    def test_holds_what_was_predicted(self, name: str, batch: int) -> None:
        made = self.made(name, batch)
        found = self.read(made)
        check = compare(made.predicted, found, name)
        assert check.mismatches == ()
        assert {entry.rsplit("(", 1)[1].rstrip(")") for entry in check.partial} == CASES[name].partial
        held = {row.layer: row.params for row in check.layers}
        stored = {path: count for path, count in self.stored(made).items() if path not in CASES[name].partial}
        assert stored and {path: held.get(path) for path in stored} == {path: (n, n) for path, n in stored.items()}
        if not CASES[name].partial:
            assert (made.predicted.params(), made.predicted.flops()) == (found.params(), found.flops())
            assert arena_bytes(made.predicted) >= live_bytes(found)
            assert UNKNOWN not in found.layers

    def stored(self, made: Exported) -> dict[str, int]:
        """What Keras says that the layers hold; but normalising ones, of which a file has half, or nothing."""
        found = {call.path: call.layer for call in trace(made.model, made.batch).calls}
        counts = {
            path: layer.count_params()
            for path, layer in found.items()
            if isinstance(layer, zoo.L.Layer) and not isinstance(layer, zoo.L.BatchNormalization)
        }
        return {path: count for path, count in counts.items() if count}

    @pytest.mark.parametrize("batch", [1, 4])
    @pytest.mark.parametrize("name", CASES)
    def test_computes_what_keras_computes(self, name: str, batch: int) -> None:
        made = self.made(name, batch)
        samples = made.samples(batch + 2)
        reference = made.reference(samples)
        found = local.run(made.path, samples, batch)
        assert {key: value.shape for key, value in found.items()} == {k: v.shape for k, v in reference.items()}
        numerics = compare_outputs(reference, found, decisions=dict.fromkeys(reference, Decision.TOP))
        # Float32 rounding, summed up in another order.
        assert numerics.l2_relative < 1e-5
        assert numerics.ok and numerics.top1 == 1

    @pytest.mark.parametrize("batch", [1, 4])
    @pytest.mark.parametrize("name", CASES)
    def test_keeps_names_and_a_fixed_batch(self, name: str, batch: int) -> None:
        made = self.made(name, batch)
        inputs, outputs = self.signature(made.path)
        assert inputs == {port.name: (batch, *port.shape) for port in ports.input_ports(made.model)}
        assert outputs == {port.name: (batch, *port.shape) for port in ports.output_ports(made.model)}

    @pytest.mark.parametrize("name", WHOLE)
    def test_uses_plain_operators_only(self, name: str) -> None:
        kinds = {step.operator for step in self.read(self.made(name)).steps}
        assert not {kind for kind in kinds if kind.replace("_", "").upper() in FORBIDDEN or kind.startswith("Flex")}

    @pytest.mark.parametrize("batch", [1, 4])
    @pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.cores])
    def test_runs_a_tt_layer_as_one_product_a_core(self, name: str, batch: int) -> None:
        found = self.read(self.made(name, batch))
        for layer, cores in CASES[name].cores.items():
            kinds = [step.operator.upper() for step in found.steps if step.layer == layer]
            assert kinds.count(self.form.product.upper()) == cores
            assert kinds.count("TRANSPOSE") <= cores
            moving = {"RESHAPE", "TRANSPOSE", "SQUEEZE", "UNSQUEEZE"}
            assert len([kind for kind in kinds if kind not in moving and kind != self.form.product.upper()]) <= 6

    def test_stores_what_is_shared_once(self) -> None:
        found = self.read(self.made("shared"))
        assert (found.params("dense"), found.flops("dense")) == (12 * 8 + 8, 2 * (2 * 12 * 8 + 8))

    @pytest.mark.parametrize("name", COMPARED)
    @pytest.mark.slow
    def test_the_bytes_depend_on_the_model_alone(self, name: str, elsewhere: Path, tmp_path: Path) -> None:
        """Neither on what this process converted before nor on how another one hashes."""
        again = zoo.export(zoo.fresh(name), self.form, 1, tmp_path / f"again{self.form.suffix}")
        assert again.path.read_bytes() == (elsewhere / f"{name}{self.form.suffix}").read_bytes()

    @pytest.mark.parametrize("damage", ["empty", "cut", "noise"])
    def test_refuses_what_is_no_model(self, damage: str, tmp_path: Path) -> None:
        made = self.made("shared")
        content = made.path.read_bytes()
        noise = np.random.default_rng(0).bytes(len(content))
        path = tmp_path / f"broken{self.form.suffix}"
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "noise": noise}[damage])
        with pytest.raises(ToolError, match="broken"):
            self.form.read(path, made.owners)

    def test_an_operator_more_is_seen(self, tmp_path: Path) -> None:
        made = self.made("named")
        more = zoo.export(_squared(made.model), self.form, 1, tmp_path / f"more{self.form.suffix}")
        check = compare(made.predicted, self.form.read(more.path, made.owners), "more")
        assert any("FLOPs" in mismatch.where for mismatch in check.mismatches)

    def test_a_layer_less_is_seen(self) -> None:
        made = self.made("sequences")
        steps = tuple(step for step in made.predicted.steps if step.layer != "out")
        check = compare(Graph(steps, made.predicted.sizes, made.predicted.inputs, ()), self.read(made), "less")
        assert [(m.where, m.predicted, m.found) for m in check.mismatches] == [
            ("less, layer out, parameters", 0, 123),
            ("less, layer out, bytes of parameters", 0, 492),
            ("less, layer out, FLOPs", 0, 243),
            ("less, layer out, MACs", 0, 120),
            ("less, layer out, product operators", 0, 1),
        ]

    @pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.cores])
    def test_a_move_less_or_more_in_a_tensor_train_is_seen(self, name: str) -> None:
        """Planted in what was read from the file; no sum tells of it."""
        made = self.made(name)
        found = self.read(made)
        trains = [step for step in found.steps if step.layer in CASES[name].cores]
        products = [step for step in trains if step.op.rule is Rule.PRODUCT]
        between = [way for way in Ways(found).all if way.start in products and way.end in products]
        own = [way for way in between if way.start and way.end and way.start.layer == way.end.layer]
        inner = [step for way in own for step in way.moves if step.op.family is TRANSPOSE]
        assert inner
        for step in inner:
            where = {item.where for item in compare(made.predicted, without(found, step), "f").mismatches}
            assert any(f"{step.layer}, transpose operators" in one for one in where)
        inner_starts = {id(way.start) for way in own}
        for step in products:
            if id(step) not in inner_starts and name in LOOSE:
                continue
            where = {item.where for item in compare(made.predicted, after(found, step, "Transpose"), "f").mismatches}
            assert any(f"{step.layer}, transpose operators" in one for one in where)

    def signature(self, path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
        """The shapes of the file's inputs and outputs by name."""
        raise NotImplementedError


def _squared(model: object) -> object:
    import keras

    inputs = keras.Input((6,), name="in.one")
    outputs = model({"in.one": inputs})  # type: ignore[operator]
    return keras.Model({"in.one": inputs}, outputs | {"o/1 é": outputs["o/1 é"] * outputs["o/1 é"]})
