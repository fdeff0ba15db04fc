"""What stands behind a report: the cross-check, the training, benchmarks, and how to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgett.report.facts import Cell, Column, Mood, Section, Table
from edgett.report.picture import Axis, Hue, Mark, Panel, Picture, Points, Scale
from edgett.report.words import PICKS, SAMPLES, came_to, digits, place, size
from edgett.search.constraints import NAMED

CURVES = (Hue.BLUE, Hue.ORANGE, Hue.GREEN, Hue.VERMILION, Hue.PURPLE, Hue.SKY, Hue.BLACK, Hue.GREY)


def check(outcome: Mapping[str, Any]) -> Iterator[Section]:
    """What every file holds against what was predicted, and its outputs against Keras's."""
    artifacts = {path.removeprefix("artifacts/"): item for path, item in outcome["check"]["artifacts"].items()}
    if not artifacts:
        return
    samples = next(item["numerics"]["samples"] for item in artifacts.values())
    words = [
        "Parameters, their bytes, FLOPs and MACs counted in every file equal the prediction. Of the peak stands first"
        " what must be alive at once whatever runs the file, then the prediction, which bounds what its interpreter"
        f" plans. Outputs are compared with Keras's on {samples} {SAMPLES[outcome['check']['samples']]}."
        if outcome["check"]["ok"]
        else "The cross-check failed: do not deploy the files that differ."
    ]
    words += [line for item in artifacts.values() for line in item["mismatches"]]
    words += [f"{path}: {why}." for path, item in artifacts.items() if (why := item["numerics"].get("blind"))]
    words += [f"No .{name} files: {reason}" for name, reason in outcome.get("left_out", {}).items()]
    if partial := dict.fromkeys(name for item in artifacts.values() for name in item["partial"]):
        unknown = "of such a file this is said of all other layers, and its peak is what a plan of it takes"
        words.append(f"Partial: no rule counts {', '.join(partial)}; {unknown}.")
    tables = [_files(artifacts), *_layers(artifacts), *_tensors(artifacts)]
    yield Section("check", "Cross-check", tuple(words), tuple(tables))
    if outcome["npu"]:
        yield _npu(outcome["npu"])


def _files(artifacts: Mapping[str, Any]) -> Table:
    titles = ["artefact", "parameters", "their bytes", "FLOPs", "MACs", "peak, bytes", "largest error"]
    titles += ["same top class", "verdict"]
    rows = []
    for path, item in artifacts.items():
        numerics, good = item["numerics"], {"ok": True, "differs": False}.get(came_to(item))
        rows.append((
            Cell(path, path),
            *(_pair(item[name]) for name in ("params", "weight_bytes", "flops", "macs")),
            _peak(item),
            _tiny(numerics["max_abs"]),
            _share(numerics["top1_agreement"]),
            Cell(good, came_to(item), {True: Mood.GOOD, False: Mood.BAD, None: Mood.OPEN}[good]),
        ))  # fmt: skip
    return Table("Files", _columns(titles, "artefact", "verdict"), tuple(rows))


def _peak(item: Mapping[str, Any]) -> Cell:
    """What must be alive at once, then what a plan takes: predicted, or of the file where nobody can."""
    found, most = item["peak_bytes"]["found"], item["peak_bytes"]["predicted"] or item.get("plan_bytes")
    if found is None:
        return Cell(None, "unknown", Mood.OPEN)
    return Cell(found, f"{found:,} to {most:,}", Mood.PLAIN if found <= most else Mood.BAD)


def _layers(artifacts: Mapping[str, Any]) -> Iterator[Table]:
    """Layer by layer the artefacts that hold a TT layer, beside it what equation 4 of the paper makes of it."""
    titles = ["layer", "parameters", "FLOPs", "MACs", "FLOPs of equation 4", "of the real"]
    for path, item in artifacts.items():
        if any("paper_flops" in row for row in item["layers"]):
            rows = [
                (
                    Cell(row["name"], row["name"]),
                    *(_pair(row[name]) for name in ("params", "flops", "macs")),
                    _number(row.get("paper_flops")),
                    _number(row.get("paper_ratio"), 2),
                )
                for row in item["layers"]
            ]
            yield Table(f"{path}, layer by layer", _columns(titles, "layer"), tuple(rows))


def _tensors(artifacts: Mapping[str, Any]) -> Iterator[Table]:
    titles = ["tensor", "layer", "role", "signal to noise, dB", "largest error"]
    for path, item in artifacts.items():
        if item["tensors"]:
            rows = [
                (
                    Cell(row["tensor"], row["tensor"]),
                    Cell(row["layer"], row["layer"]),
                    Cell(row["role"], row["role"]),
                    Cell(row["snr_db"], "exact" if row["snr_db"] is None else f"{row['snr_db']:.1f}"),
                    _tiny(row["max_abs"]),
                )
                for row in item["tensors"]
            ]
            yield Table(f"{path}: int8 against float32", _columns(titles, "tensor", "layer", "role"), tuple(rows))


def _npu(summaries: Mapping[str, Any]) -> Section:
    first = next(iter(summaries.values()))
    keys = "npu_operators", "cpu_operators", "sram_bytes", "cycles"
    titles = ["artefact", "operators on it", "off it", "SRAM, bytes", "cycles"]
    rows = [(Cell(path, path), *(_number(item[key]) for key in keys)) for path, item in summaries.items()]
    words = f"By Arm's Vela, for {first['accelerator']} ({first['system']}, {first['memory_mode']})."
    return Section("npu", "Accelerator", (words,), (Table("Vela", _columns(titles, "artefact"), tuple(rows)),))


def curves(outcome: Mapping[str, Any]) -> Iterator[Section]:
    """The mean training loss of each epoch of each trial."""
    known = [(trial, [loss for loss in trial["losses"] if loss is not None]) for trial in outcome["trials"]]
    told = [(trial, losses) for trial, losses in known if losses]
    if not told:
        return
    longest = max(len(losses) for _, losses in told)
    columns = (Column("solution"), Column("epochs"), Column("seconds"), *map(Column, map(_epoch, range(longest))))
    rows = []
    for trial, losses in told:
        cells = [Cell(loss, f"{loss:.4f}") for loss in losses] + [Cell(None, "")] * (longest - len(losses))
        seconds = Cell(trial["seconds"], f"{trial['seconds']:.1f}")
        rows.append((_number(trial["solution"]), Cell(trial["epochs"], f"{trial['epochs']:g}"), seconds, *cells))
    words = ["The mean training loss of each epoch of every trial."]
    if halfway := [str(trial["solution"]) for trial, _ in told if not trial["complete"]]:
        words.append(f"Put away before their last epoch: solutions {', '.join(halfway)}.")
    table = Table("Training", columns, tuple(rows))
    yield Section("training", "Training", tuple(words), (table,), _curves(told, longest))


def _epoch(index: int) -> str:
    return f"loss, epoch {index + 1}"


def _curves(told: Sequence[tuple[Mapping[str, Any], Sequence[float]]], longest: int) -> Picture:
    values = [loss for _, losses in told for loss in losses]
    log = min(values) > 0
    low, high = (min(values) / 1.1, max(values) * 1.1) if log else (min(values) - 0.1, max(values) + 0.1)
    lines = tuple(
        Points(
            "", tuple(range(1, len(losses) + 1)), tuple(losses), Mark.DOT, CURVES[index % len(CURVES)],
            tuple(f"solution {trial['solution']}, epoch {epoch + 1}: {loss:.4f}" for epoch, loss in enumerate(losses)),
            joined=True,
        )
        for index, (trial, losses) in enumerate(told)
    )  # fmt: skip
    across = Axis("epoch", 0.8, longest + 0.2, whole=True)
    upright = Axis("training loss", low, max(high, low * 1.01 + 1e-12), Scale.LOG if log else Scale.LINEAR)
    return Picture("Training loss", (Panel("Every trial", across, upright, lines),), columns=1)


def benchmarks(documents: Sequence[Mapping[str, Any]]) -> Iterator[Section]:
    """Each device that the artefacts were measured on."""
    tables = [_counted(one) if "instructions" in one["artifacts"][0] else _timed(one) for one in documents]
    if tables:
        words = [line for one in documents for line in _circumstances(one)]
        words.append("A ratio whose interval holds 1 is noise. Instructions of an emulator are no times.")
        yield Section("benchmarks", "Benchmarks", tuple(words), tuple(tables))


def _circumstances(document: Mapping[str, Any]) -> Iterator[str]:
    device, runtimes = document["device"], dict.fromkeys(one["runtime"] for one in document["artifacts"])
    if "threads" in device:
        threads = "1 thread" if device["threads"] == 1 else f"{device['threads']} threads"
        processor = device["processor"] or device["architecture"]
        yield f"{device['name']}: {processor}, {device['system']}; {', '.join(runtimes)}; {threads}."
    else:
        yield f"{device['target']} on {device['emulator']}; {', '.join(runtimes)}."


def _timed(document: Mapping[str, Any]) -> Table:
    titles = ["artefact", "median, us", "p90, us", "p99, us", "times the first", "verdict", "memory added", "file"]
    longest = max(one["median_us"] for one in document["artifacts"]) or 1
    moods = {"faster": Mood.GOOD, "slower": Mood.BAD, "noise": Mood.OPEN, "baseline": Mood.PLAIN}
    rows = []
    for one in document["artifacts"]:
        ratio = one["ratio"]
        times = Cell(1.0, "1") if ratio is None else Cell(ratio["value"], _interval(ratio))
        rows.append((
            Cell(one["name"], _called(one)),
            Cell(one["median_us"], digits(one["median_us"], 4), share=one["median_us"] / longest),
            *(Cell(one[key], digits(one[key], 4)) for key in ("p90_us", "p99_us")),
            times,
            Cell(one["verdict"], one["verdict"], moods[one["verdict"]]),
            *(Cell(one[key], size(one[key])) for key in ("added_bytes", "bytes")),
        ))  # fmt: skip
    return Table(f"On {document['device']['name']}", _columns(titles, "artefact", "verdict"), tuple(rows))


def _counted(document: Mapping[str, Any]) -> Table:
    titles = ["artefact", "instructions", "times the first", "file"]
    most = max(one["instructions"] for one in document["artifacts"]) or 1
    rows = []
    for one in document["artifacts"]:
        ratio = 1.0 if one["ratio"] is None else one["ratio"]
        instructions = Cell(one["instructions"], f"{one['instructions']:,}", share=one["instructions"] / most)
        told = Cell(ratio, digits(ratio)), Cell(one["bytes"], size(one["bytes"]))
        rows.append((Cell(one["name"], _called(one)), instructions, *told))
    return Table(f"On an emulated {document['device']['target']}", _columns(titles, "artefact"), tuple(rows))


def _called(one: Mapping[str, Any]) -> str:
    return ", ".join(PICKS.get(name, name) for name in (one["name"], *one.get("also", ())))


def _interval(ratio: Mapping[str, float]) -> str:
    return f"{digits(ratio['value'])} [{digits(ratio['low'])}, {digits(ratio['high'])}]"


def reproduction(asked: Mapping[str, Any]) -> Section:
    """All that is needed to come to the same again."""
    options, versions, digests = asked["options"], asked["versions"], asked["digests"]
    profile = dict(_of_profile(asked["outcome"]))
    tables = (
        _named("Versions", "package", "version", versions),
        _named("SHA-256 of what went in", "what", "digest", digests),
        _named("SHA-256 of what came out", "file", "digest", dict(_written(asked["outcome"]))),
        Table(
            "Options",
            _columns(["option", "value", "from"], "option", "value", "from"),
            tuple(
                tuple(Cell(text, text) for text in (name, _told(item["value"], profile.get(name)), item["from"]))
                for name, item in options.items()
            ),
        ),
    )
    words = ("The same command, versions, data and machine give the same bytes.",)
    return Section("reproduction", "Reproduction", words, tables, code=(command(asked),))


def command(asked: Mapping[str, Any]) -> str:
    """The command line that asks for the same, wherever its values came from that are no defaults."""
    options = asked["options"]
    parts = ["edgett", asked.get("command", "compress"), place(str(options["model"]["value"]))]
    for name, item in options.items():
        value = "all" if name == "limit" and item["value"] is None else item["value"]
        if name == "model" or item["from"] in ("default", "profile") or value in (None, []):
            continue
        for each in value if isinstance(value, list) else [value]:
            parts += [f"--{name.replace('_', '-')}", str(each)]
    return shlex.join(parts)


def _written(outcome: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for model in (outcome["baseline"], *(pick for pick in outcome["picks"].values() if pick)):
        for item in model["artifacts"].values():
            yield item["path"], item["sha256"]


def _of_profile(outcome: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """What a profile says where an option does not."""
    yield "objective", outcome["objective"]
    yield "dtype", outcome["target"]["dtype"]
    for item in outcome["constraints"]:
        yield NAMED[item["name"]].option, item["limit"]


def _told(value: object, instead: object = None) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(instead if value is None else value) if (value, instead) != (None, None) else ""


def _named(title: str, first: str, second: str, values: Mapping[str, str]) -> Table:
    rows = tuple((Cell(name, name), Cell(value, value)) for name, value in values.items())
    return Table(title, _columns([first, second], first, second), rows)


def _columns(titles: Sequence[str], *words: str) -> tuple[Column, ...]:
    return tuple(Column(title, title not in words) for title in titles)


def _pair(pair: Mapping[str, int]) -> Cell:
    found, predicted = pair["found"], pair["predicted"]
    if found == predicted:
        return Cell(found, f"{found:,}")
    return Cell(found, f"{found:,}, predicted {predicted:,}", Mood.BAD)


def _number(value: float | None, digits: int = 0) -> Cell:
    return Cell(value, "" if value is None else f"{value:,.{digits}f}")


def _share(value: float | None) -> Cell:
    return Cell(value, "" if value is None else f"{value:.1%}")


def _tiny(value: float | None) -> Cell:
    return Cell(value, "not finite" if value is None else f"{value:.1e}")
