"""One figure of speed a target, with its source; an estimate that something contradicts is none."""

from __future__ import annotations

from typing import Any

from edgett.report import speed

SOURCE = "Latencies are only estimated, from compute.clock."


def outcome(**changes: Any) -> dict[str, Any]:
    def model(estimate: float, latency: float | None = None) -> dict[str, Any]:
        return {speed.MEASURED: latency, speed.ESTIMATED: estimate}

    given = {
        "baseline": model(1.0),
        "picks": {"recommended": model(0.5), "lowest_flops": None},
        "target": {"name": "board", "latency": SOURCE, "here": False, "cycles_per_second": 1_000_000},
        "partial": [],
        "npu": {},
        "timed_here": None,
    }
    return {**given, **changes}


def counted(dense: int, picked: int, target: str = "board") -> dict[str, Any]:
    models = [{"name": "baseline", "instructions": dense}, {"name": "lowest", "also": ["recommended"]}]
    return {"device": {"target": target}, "artifacts": [models[0], models[1] | {"instructions": picked}]}


def test_an_estimate_says_what_it_is_made_of() -> None:
    shown = speed.told(outcome(), [counted(1000, 600)])
    assert (shown.figure, shown.word, shown.source) == (speed.ESTIMATED, "estimated", SOURCE)


def test_what_was_measured_is_the_only_figure() -> None:
    given = outcome(baseline={speed.MEASURED: 2.0, speed.ESTIMATED: None})
    shown = speed.told(given, [counted(1000, 5000)])
    assert (shown.figure, shown.word) == (speed.MEASURED, "predicted")


def test_an_estimate_that_the_emulator_contradicts_is_not_shown() -> None:
    shown = speed.told(outcome(), [counted(1000, 1100)])
    assert shown.figure is None and "0.5 times" in shown.source and "1.1 times the instructions" in shown.source


def test_counts_that_differ_by_next_to_nothing_contradict_nothing() -> None:
    assert speed.told(outcome(), [counted(900, 909)]).figure == speed.ESTIMATED


def test_an_estimate_of_fewer_cycles_than_there_are_instructions_to_execute_is_not_shown() -> None:
    """A millisecond has 1,000 cycles here."""
    shown = speed.told(outcome(), [counted(2100, 900)])
    assert shown.figure is None and "1,000 cycles" in shown.source and "2,100 instructions" in shown.source


def test_an_emulator_of_another_device_says_nothing() -> None:
    assert speed.told(outcome(), [counted(9000, 9900, "another")]).figure == speed.ESTIMATED


def test_other_benchmarks_are_no_counts() -> None:
    timed = {"device": {"name": "local"}, "artifacts": [{"name": "baseline", "median_us": 3.0}]}
    assert speed.told(outcome(), [timed]).figure == speed.ESTIMATED


def test_what_was_timed_on_the_target_itself_counts_more() -> None:
    timed = {"value": 1.3, "low": 1.2, "high": 1.4}
    assert speed.told(outcome(timed_here=timed)).figure == speed.ESTIMATED
    here = {**outcome()["target"], "here": True}
    shown = speed.told(outcome(timed_here=timed, target=here))
    assert shown.figure is None and "1.3 times" in shown.source


def test_where_no_rule_counts_all_there_is_no_time() -> None:
    shown = speed.told(outcome(partial=["LSTM (rnn)"]))
    assert shown.figure is None and "not known" in shown.source


def test_vela_knows_its_accelerator_better() -> None:
    assert speed.told(outcome(npu={"a.tflite": {}})).figure is None


def test_more_instructions_are_told_and_what_leaves_layers_dense() -> None:
    def given(dense: int | None, picked: int | None) -> dict[str, Any]:
        return outcome(baseline={"instructions": dense}, picks={"recommended": {"instructions": picked}})

    (said,) = speed.more_instructions(given(1000, 1170))
    assert "1.17 times the instructions of the dense one on board" in said and "--objective latency" in said
    assert not list(speed.more_instructions(given(1000, 1000)))
    assert not list(speed.more_instructions(given(None, None)))
    assert not list(speed.more_instructions(outcome(picks={"recommended": None})))
    assert speed.slower(given(5, 5)).endswith("take more instructions") and speed.slower(outcome()).endswith("slower")
