"""Never slower: where the target is this machine, layers that time speaks against go back to dense, and that stands.

Where times are real, what must come out differs by several times, so that a busy machine does not change it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgett.device import bench, local
from edgett.device.statistics import Ratio
from edgett.errors import ToolError, UsageError
from edgett.forms.tt.shape import TTShape
from edgett.job.job import Job
from edgett.meter import Silent
from edgett.report.sections import verdict
from edgett.run.directory import Run
from edgett.search.constraints import FLOPS, Constraints, Objective
from edgett.search.explore import Costing, dense_solution
from edgett.search.replaced import with_edits
from edgett.search.solution import Picks, Refuge, Trial
from edgett.target.profile import load_target, override
from edgett.workflow.inputs import Inputs, inputs
from edgett.workflow.original import original
from edgett.workflow.release import Release, release
from edgett.workflow.survey import graphs
from edgett.workflow.terms import Terms
from edgett.workflow.timing import Clock, Pace
from tests.conftest import EASY, Answer, Tiny

Call = Callable[..., Answer]
LARGE = TTShape((32, 32), (32, 32), (1, 2, 1))
"""Of 1024x1024: a twentieth of the time that dense takes."""
SMALL = TTShape((2,) * 6, (2,) * 6, (1, 4, 16, 64, 16, 4, 1))
"""Of 64x64: ten times what dense takes."""
SLIM = replace(SMALL, ranks=(1, 2, 2, 2, 2, 2, 1))
"""Of 64x64 too: fewer FLOPs than dense and fewer bytes, and so many operators that it takes longer all the same."""


def network(widths: Mapping[str, int], entry: int) -> Inputs:
    """Dense layers of these names and widths, not trained, with a little data.

    Their biases are numbers as after training: zeros would not be written.
    """
    from edgett.model import ports
    from edgett.train.data import data_from_arrays

    keras = ports.keras
    keras.utils.set_random_seed(0)
    sizes = [*((name, width, "relu") for name, width in widths.items()), ("digit", 10, "softmax")]
    layers = [keras.layers.Dense(n, kind, bias_initializer="random_normal", name=name) for name, n, kind in sizes]
    model = keras.Sequential([keras.Input((entry,)), *layers])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = np.random.default_rng(0).normal(size=(60, entry)).astype(np.float32)
    data = {
        f"{axis}_{part}": values for part in ("train", "test") for axis, values in (("x", x), ("y", np.arange(60) % 10))
    }
    return inputs(model, data_from_arrays(data, model, 0), Silent())


@pytest.fixture(scope="module")
def large() -> Inputs:
    return network({"large": 1024, "neck": 64, "small": 64}, 1024)


@pytest.fixture(scope="module")
def tight() -> Inputs:
    return network({"small": 64}, 64)


class Wanted:
    """Trials of these shapes as fine-tuning leaves them, in a run of their own."""

    def __init__(self, given: Inputs, path: Path, *shapes: Mapping[str, TTShape]) -> None:
        from edgett.model.models import pack_weights
        from edgett.train.finetune import compressed

        self.given, self.run, self.costing = given, Run.start(path, {}), Costing()
        self.graph = graphs(given.model, self.costing)
        trials = []
        for number, one in enumerate(shapes):
            whole = dense_solution(with_edits(self.graph(frozenset(one)), one), self.costing)
            solution = replace(whole, number=number, edits=one)
            trials.append(Trial(solution, given.quality, 1.0 + solution.number, 1, 0, 0.0))
            self.run.record(trials[-1], pack_weights(compressed(given.model, solution, given.judge)))
        self.trials = tuple(trials)

    def released(
        self, objective: Objective = Objective.FLOPS, flops: int | None = None
    ) -> tuple[Release, Picks | None, Any]:
        """Released for this machine."""
        allowed = Constraints(objective, {FLOPS: flops})
        dense = dense_solution(self.graph(frozenset()), self.costing)
        target = override(load_target("host"), objective=objective)
        written = original(self.given, target.runtime, 1, self.run, Silent())
        terms = Terms(
            Job("host"),
            target,
            allowed,
            self.costing,
            replace(dense, file_bytes=written.bytes),
            written,
            self.given.quality,
        )
        released, chosen = release(self.given, self.trials, terms, self.run, Silent())
        return released, chosen.picks, chosen.trials


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other test's benchmark keeps this one from being timed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def forbidden(*_: object) -> bench.BenchReport:
    raise AssertionError("timed again")


@pytest.mark.usefixtures("alone")
class TestReal:
    @pytest.mark.slow
    def test_a_small_layer_goes_back_and_a_large_one_stays(
        self, large: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = Wanted(large, tmp_path / "run", {"large": LARGE, "small": SMALL})
        with closing(wanted.run):
            released, picks, trials = wanted.released()
            assert picks is not None
            best = picks.recommended
            assert set(best.solution.edits) == {"large"}
            (step,) = best.reverted
            assert (step.layer, step.to, step.snr_db) == ("small", Refuge.DENSE, None)
            assert step.slowdown is not None and step.slowdown > 1.3
            assert step.drop_before == step.drop_after == best.drop == 1.0
            assert trials == (best,)
            assert released.ok and released.timed is not None and released.timed.high < 0.7
            assert (
                best.solution.cost.params
                == wanted.trials[0].solution.cost.params - sum(np.prod(core) for core in SMALL.cores) + 64 * 64
            )
            (file,) = (item for item in released.artifacts["recommended"] if item.path.suffix == ".tflite")
            assert best.solution.file_bytes == file.bytes
            # What was decided stands, though nothing is timed any more.
            monkeypatch.setattr(local.Local, "measure", forbidden)
            again, same, others = wanted.released()
            assert (same, others, again) == (picks, trials, released)

    @pytest.mark.slow
    def test_for_size_it_stays(self, large: Inputs, tmp_path: Path) -> None:
        wanted = Wanted(large, tmp_path / "run", {"large": LARGE, "small": SMALL})
        with closing(wanted.run):
            released, picks, _ = wanted.released(Objective.MEMORY)
        assert picks is not None and picks.recommended.solution.edits == {"large": LARGE, "small": SMALL}
        assert picks.recommended.reverted == ()
        assert released.timed is not None

    @pytest.mark.slow
    def test_nothing_is_left(self, tight: Inputs, tmp_path: Path) -> None:
        """Two solutions, each slower than dense, which is picked, and whose files are all there is."""
        other = replace(SLIM, ranks=(1, 2, 2, 2, 2, 1, 1))
        wanted = Wanted(tight, tmp_path / "run", {"small": SLIM}, {"small": other})
        with closing(wanted.run):
            released, picks, trials = wanted.released()
        assert picks is not None and {trial.solution.number for trial in picks.named().values()} == {-1}
        assert released.timed is None
        assert len(set(released.artifacts.values())) == 1
        assert [(trial.too_slow, dict(trial.solution.edits)) for trial in trials] == 2 * [(True, {})]
        assert all(trial.reverted[0].slowdown > 1.5 for trial in trials)


class TestPace:
    @pytest.mark.parametrize(
        ("whole", "layers", "slow"),
        [
            ((0.5, 0.4, 0.6), {"a": (0.4, 0.3, 0.5), "b": (1.2, 1.1, 1.3)}, {"b": 1.2}),
            ((1.5, 1.4, 1.6), {"a": (1.4, 1.3, 1.5), "b": (1.2, 1.1, 1.3)}, {"a": 1.4, "b": 1.2}),
            ((1.5, 1.4, 1.6), {"a": (1.2, 0.9, 1.5), "b": (1.3, 0.8, 1.9)}, {"b": 1.3}),
            ((1.5, 0.9, 2.6), {"a": (1.2, 0.9, 1.5), "b": (1.3, 0.8, 1.9)}, {}),
            ((1.02, 1.01, 1.03), {"a": (1.02, 1.01, 1.03), "b": (1.0, 0.9, 1.1)}, {}),
            ((3.0, 2.9, 3.1), {}, {}),
        ],
    )
    def test_who_is_to_blame(self, whole: Any, layers: Mapping[str, Any], slow: Mapping[str, float]) -> None:
        pace = Pace(0, {"a": LARGE, "b": SMALL}, Ratio(*whole), {name: Ratio(*one) for name, one in layers.items()})
        assert pace.slow == slow

    def test_a_damaged_record(self, tight: Inputs, tmp_path: Path) -> None:
        with closing(Run.start(tmp_path / "run", {})) as run:
            for text in ("", "{", "[]", '{"schema": 2, "times": [{}]}', '{"schema": 2, "times": 3}'):
                (run.path / "times.json").write_text(text)
                with pytest.raises(UsageError, match=r"times\.json (is damaged|cannot be read|has schema None)"):
                    Clock(run, tight, bench.Plan(), Silent())


def planted(factors: Mapping[str, float], seen: list[str]) -> Callable[..., bench.BenchReport]:
    """A machine on which files whose names end so take as many microseconds, and all others one."""

    def measure(_: local.Local, subjects: Sequence[bench.Subject], plan: bench.Plan, meter: Any) -> bench.BenchReport:
        names = [subject.path.name for subject in subjects]
        seen.extend(names)
        times = [next((time for end, time in factors.items() if name.endswith(end)), 1.0) for name in names]
        turns = [tuple(np.full(3, round(1e3 * time), np.int64) for _ in range(plan.turns)) for time in times]
        state = bench.ProcessorState(None, None, None)
        made = [bench.Measured(name, "planted", own, 0, 0, 0, {}) for name, own in zip(names, turns, strict=True)]
        return bench.BenchReport({}, plan.threads, (), state, state, tuple(made))

    return measure


SECOND = {"-2.tflite": 10.0, "without-0.tflite": 10.0, "without-1.tflite": 1.0, "-1.tflite": 0.5}
"""The second of two layers makes the model ten times as slow; the first one makes it twice as fast."""
HERE = ("--target", "host", *EASY)


@pytest.fixture(scope="module")
def pair() -> Inputs:
    return network({"wide": 64, "dense": 64}, 64)


SQUARE = TTShape((8, 8), (8, 8), (1, 2, 1))
"""Of 64x64: half the FLOPs of dense."""


class TestPlanted:
    @pytest.mark.slow
    def test_when_no_layer_alone_is_to_blame_the_worst_goes_first(
        self, pair: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str] = []
        monkeypatch.setattr(local.Local, "measure", planted({"baseline.tflite": 0.5, "without-1.tflite": 0.99}, seen))
        wanted = Wanted(pair, tmp_path / "run", {"wide": SQUARE, "dense": SQUARE})
        with closing(wanted.run):
            _, picks, (trial,) = wanted.released()
        assert picks is not None and {one.solution.number for one in picks.named().values()} == {-1}
        assert trial.too_slow
        assert [step.layer for step in trial.reverted] == ["dense", "wide"]
        whole, rest = ["0-2.tflite", "0-2-without-0.tflite", "0-2-without-1.tflite"], ["0-1.tflite"]
        assert seen == ["baseline.tflite", *whole, "baseline.tflite", *rest]

    @pytest.mark.slow
    def test_what_a_dense_layer_takes_counts_against_the_budget(
        self, pair: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So that the next solution is taken; one with a shape that is known to be slow there is not timed again."""
        seen: list[str] = []
        slow = {"0-2.tflite": 10.0, "without-0.tflite": 10.0}
        monkeypatch.setattr(local.Local, "measure", planted(slow, seen))
        two, three = (replace(SQUARE, ranks=(1, rank, 1)) for rank in (2, 3))
        shapes = ({"wide": two, "dense": two}, {"wide": three, "dense": two}, {"wide": two, "dense": three})
        wanted = Wanted(pair, tmp_path / "run", *shapes)
        first, second, third = (trial.solution.cost.flops for trial in wanted.trials)
        assert first < second == third
        with closing(wanted.run):
            _, picks, trials = wanted.released(flops=third)
        assert picks is not None and picks.recommended.solution.edits == shapes[2]
        assert [set(trial.solution.edits) for trial in trials] == [{"wide"}, {"wide"}, {"wide", "dense"}]
        assert [trial.reverted[0].layer for trial in trials[:2]] == ["dense", "dense"]
        assert min(trial.solution.cost.flops for trial in trials[:2]) > third
        assert "1-2.tflite" not in seen and "2-2.tflite" in seen

    @pytest.mark.slow
    def test_for_size_all_stay(self, pair: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local.Local, "measure", planted({"baseline.tflite": 0.1}, []))
        wanted = Wanted(pair, tmp_path / "run", {"wide": SQUARE, "dense": SQUARE})
        with closing(wanted.run):
            released, picks, _ = wanted.released(Objective.MEMORY)
        assert picks is not None and picks.recommended.solution.edits == {"wide": SQUARE, "dense": SQUARE}
        assert picks.recommended.reverted == ()
        assert released.timed is not None and released.timed.value == pytest.approx(10)

    @pytest.mark.slow
    def test_where_it_cannot_be_timed_nothing_is_decided(
        self, pair: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def busy(*_: object) -> bench.BenchReport:
            raise ToolError("another benchmark is running on this machine.", "Wait.")

        monkeypatch.setattr(local.Local, "measure", busy)
        wanted = Wanted(pair, tmp_path / "run", {"wide": SQUARE, "dense": SQUARE})
        with closing(wanted.run):
            released, picks, _ = wanted.released()
        assert picks is not None and picks.recommended.solution.number == 0
        assert picks.recommended.reverted == ()
        assert released.timed is None
        assert not (tmp_path / "run" / "times.json").exists()


@pytest.mark.usefixtures("alone")
class TestCommand:
    @pytest.mark.slow
    def test_the_run_is_of_one_piece(
        self, edgett: Call, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str] = []
        monkeypatch.setattr(local.Local, "measure", planted(SECOND, seen))
        answer = edgett("compress", *tiny.arguments, *HERE, "--out", "run")
        assert answer.code == 0, answer.err
        content = json.loads((tmp_path / "run" / "run.json").read_text())
        document = content["outcome"]
        pick = document["picks"]["recommended"]
        assert set(pick["edits"]) == {"wide"}
        assert pick["reverted"] == [
            {"layer": "dense", "to": "dense", "drop_before": pick["drop"], "drop_after": pick["drop"], "snr_db": None,
             "slowdown": pytest.approx(10)}
        ]  # fmt: skip
        assert document["timed_here"]["value"] == pytest.approx(0.5)
        said = " ".join(answer.out.split())
        assert "dense went back to dense, since with it the model took 10.00 times as long here" in said
        assert any("dense is dense again: with its low-rank form" in words for words in verdict(document).words)
        check = document["check"]["artifacts"][pick["artifacts"]["tflite"]["path"]]
        assert check["ok"] and check["params"]["found"] == pick["params"]

        assert edgett("check", "run").code == 0
        assert json.loads((tmp_path / "run" / "check.json").read_text()) == document["check"]
        assert edgett("export", "run", "--solution", pick["solution"], "--out", "again").code == 0
        for kind in ("keras", "tflite", "onnx"):
            made = (tmp_path / "again" / f"solution-{pick['solution']}.{kind}").read_bytes()
            assert hashlib.sha256(made).hexdigest() == pick["artifacts"][kind]["sha256"], kind

        # Killed before its end, it comes to the same, and times nothing again.
        monkeypatch.setattr(local.Local, "measure", forbidden)
        (tmp_path / "run" / "run.json").write_text(json.dumps({k: v for k, v in content.items() if k != "outcome"}))
        assert edgett("compress", "--out", "run", "--resume").code == 0
        assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"] == document

    @pytest.mark.slow
    def test_all_are_slower(self, edgett: Call, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        measure = local.Local.measure
        monkeypatch.setattr(local.Local, "measure", planted({"baseline.tflite": 0.5}, []))
        answer = edgett("compress", *tiny.arguments, *HERE, "--out", "run")
        assert answer.code == 0
        document = json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]
        assert document["picks"]["recommended"]["solution"] == -1 and document["timed_here"] is None
        assert "every other solution is slower here" in document["why_dense"]
        assert document["why_dense"] in " ".join(answer.out.split())
        assert document["why_dense"] in verdict(document).words
        assert edgett("export", "run").code == 0
        with monkeypatch.context() as patch:  # whose outputs are compared, and a planted machine gives none
            patch.setattr(local.Local, "measure", measure)
            assert edgett("bench", "run", "--runs", 1, "--seconds", 0).code == 0

        answer = edgett("compress", *tiny.arguments, *HERE, "--model-bytes", "90 %", "--out", "run", "--fresh")
        assert answer.code == 4
        assert "slower here than the dense model, which its layers made 1.00 to 2.00 times" in answer.err
        assert "--objective memory" in answer.err
        document = json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]
        assert document["picks"]["recommended"] is None and document["nearest_miss"] is None
        assert [(trial["edits"], trial["feasible"]) for trial in document["trials"]] == 2 * [({}, False)]
        assert "Every solution that holds is slower here" in " ".join(answer.out.split())
        assert "Every solution that holds is slower on this machine" in verdict(document).words[0]
        files = sorted(path.name for path in (tmp_path / "run" / "artifacts").iterdir())
        assert files == ["baseline.keras", "baseline.onnx", "baseline.tflite", "samples.npz"]

    @pytest.mark.slow
    def test_another_machine_is_only_told_of(self, edgett: Call, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[str] = []
        monkeypatch.setattr(local.Local, "measure", planted({"baseline.tflite": 0.1}, seen))
        answer = edgett("compress", *tiny.arguments, *EASY, "--json")
        assert answer.code == 0
        assert answer.document["picks"]["recommended"]["reverted"] == []
        assert answer.document["timed_here"]["value"] == pytest.approx(10)
        assert len(seen) == 2
