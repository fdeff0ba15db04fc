"""A finished run as a package for a firmware build, and as C files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgett.device import local
from edgett.errors import CheckFailed, DataError, Infeasible, ToolError, UsageError
from edgett.firmware import manifest, package
from edgett.firmware.kind import SourceKind
from edgett.forms.integers import Rebuilding
from edgett.graph.dtype import DType
from edgett.graph.wire import identifiers, is_identifier, refuse_unknown
from edgett.job.choices import Hold
from edgett.run import session
from edgett.run.directory import file_digest
from edgett.schema import SCHEMA
from edgett.search.constraints import FLOPS, LOSSES, MODEL_BYTES, NAMED, PEAK, Constraint
from edgett.system.folders import filling, scratch
from edgett.workflow import holding, reexport
from edgett.workflow.hardware import hardware
from edgett.workflow.holding import HeldFile

VECTOR_BYTES = 16 * 1024
"""What the numbers of a self-test take at most, if that is enough for one vector."""
VECTORS = 16
"""As many at most."""
FLOAT_TOLERANCE = 1e-4
"""Of the largest number expected: rounding, summed over the layers, in another order than the reference's."""
STEPS = 3
"""Quantisation steps that an int8 output may be off: where a number lies between two, kernels round as they like."""
GENERATORS = {"c": "emx-onnx-cgen (Apache-2.0)", "tflm": "TensorFlow's converter (Apache-2.0)"}

_TAKEN = {MODEL_BYTES: ("weight_bytes", "model_bytes"), PEAK: ("ram_bytes", "arena_bytes")}
"""The sizes of sources, C's or an interpreter's, that a budget limits."""


@dataclass(frozen=True)
class PackRequest:
    """What to pack: the recommended solution of a run unless `number` names another; `name` None: the model's."""

    kind: SourceKind = SourceKind.C
    number: int | None = None
    name: str | None = None
    licence: str = "NOASSERTION"
    hold: Hold = Hold.WEIGHTS


def pack(path: Path, folder: Path, wish: PackRequest) -> dict[str, Any]:
    """Write a package of a solution of the run in `path` into `folder`; its manifest.

    Raises UsageError for a name that is no C identifier, and when `folder` is in use for something else; Infeasible
    when the sources are over a budget of the run; ModelError or ToolError when there is no C for the model.
    """
    manifest.refuse_occupied(folder)
    if wish.name is not None:
        refuse_name(wish.name)
    with scratch() as room:
        found = _found(path, wish, room)
        name = wish.name or identifiers([found.title])[0]
        sources, sizes = sources_of(found.file, name, wish.kind, found.held.rebuilt if found.held else None)
        refuse_unknown((*sources.inputs, *sources.outputs))
        _refuse_over(sizes, found.origin["budgets"])
        vectors = _vectors(sources, found)
        facts: dict[str, Any] = {
            "name": name,
            "format": wish.kind.value,
            "edgett": version("edgett"),
            "artefact": {"suffix": wish.kind.suffix, "sha256": file_digest(found.file)},
            "sizes": sizes if found.peak is None else {**sizes, "predicted_peak_bytes": found.peak},
            "run": found.origin,
            "ports": {"inputs": _ports(sources.inputs), "outputs": _ports(sources.outputs)},
            "self_test": {
                "vectors": vectors.count,
                "tolerances": {p.name: t for p, t in zip(sources.outputs, vectors.tolerances, strict=True)},
            },
            "licence": {"model": wish.licence, "generator": GENERATORS[wish.kind.value]},
        }
        facts |= {} if sources.plain is None else {"plain": sources.plain}
        facts |= {} if found.held is None else {"held": found.held.checked(sizes)}
    return manifest.write(folder, package.files(sources, vectors), facts)


@dataclass(frozen=True)
class _Found:
    """An artefact of a run, its samples by input, (n, ...) each, and what is told of where it comes from.

    `peak`: the bytes that its tensors were predicted to take at once, inputs and outputs included. `held`: where it is
    to store factors in place of weights.
    """

    file: Path
    title: str
    samples: Mapping[str, NDArray[Any]]
    batch: int
    origin: Mapping[str, Any]
    peak: int | None
    held: HeldFile | None = None


def _found(path: Path, wish: PackRequest, scratch: Path) -> _Found:
    """The artefact that the run wrote, or, of a solution that it did not pick, one that is exported now."""
    asked, job, outcome = session.told(path)
    reexport.refuse_unchecked(path, outcome)
    number = reexport.recommended(path, outcome) if wish.number is None else wish.number
    if wish.hold is Hold.FACTORS:
        return _held(path, number, wish, scratch)
    names = (str(entry["path"]) for entry in _files(outcome, number))
    name = next((name for name in names if name.endswith(wish.kind.suffix)), None)
    origin = _origin(asked, outcome, number, picked=name is not None)
    folder, document = path, outcome["check"]
    if name is not None:
        reexport.refuse_changed(path, outcome)
    if name is None:
        folder, name = scratch, f"{reexport.exported(number)}{wish.kind.suffix}"
        document = reexport.export(path, number, [wish.kind.suffix], scratch, job.batch)
    check = document["artifacts"][name]
    if not check["ok"]:
        raise CheckFailed(f"{name} of the run in {path} is not what was predicted.", "Do not deploy it.")
    peak = check.get("c_peak_bytes") if wish.kind is SourceKind.C else check["peak_bytes"]["predicted"]
    return _Found(folder / name, job.title, reexport.samples(path), job.batch, origin, peak)


def _held(path: Path, number: int, wish: PackRequest, scratch: Path) -> _Found:
    """A solution with dense layers whose weights are rebuilt from factors; exported now."""
    _refuse_held([wish.kind])
    asked, job, outcome = session.told(path)
    held = holding.export(path, number, scratch, job.batch)
    if not held.document["ok"]:
        raise CheckFailed(f"{held.file} of the run in {path} is not what was predicted.", "Do not deploy it.")
    found = {MODEL_BYTES: held.flash, PEAK: held.ram, FLOPS: held.flops, **dict.fromkeys(LOSSES)}
    origin = _origin(asked, outcome, number, picked=False, found=found)
    return _Found(scratch / held.file, job.title, reexport.samples(path), job.batch, origin, held.ram, held)


def _refuse_held(kinds: Sequence[SourceKind]) -> None:
    """Raise UsageError for sources that cannot rebuild weights."""
    if set(kinds) != {SourceKind.C}:
        raise UsageError("--hold factors is for C: other formats hold factors as layers of their own.",
                         "Take --format c, or leave it out.")  # fmt: skip


def _refuse_over(sizes: Mapping[str, int], budgets: Sequence[Mapping[str, Any]]) -> None:
    """Raise Infeasible when what the sources really take is over the budget that the run was held to."""
    for item in budgets:
        value = max((sizes[key] for key in _TAKEN.get(NAMED[item["name"]], ()) if key in sizes), default=0)
        if item["limit"] is not None and value > item["limit"]:
            raise Infeasible(
                f"the sources take {value:,} bytes, {value - item['limit']:,} more than {item['name']} allows"
                f" ({item['limit']:,}).",
                "Pack a smaller --solution, or make a run anew whose budget allows as much.",
            )


def _files(outcome: Mapping[str, Any], number: int) -> list[Mapping[str, Any]]:
    """The artefacts of a solution, if it is the dense model or was picked."""
    written = [model for model in (outcome["baseline"], *outcome["picks"].values()) if model]
    found = [model for model in written if model["solution"] == number]
    return list(found[0]["artifacts"].values()) if found else []


def _origin(
    asked: Mapping[str, Any],
    outcome: Mapping[str, Any],
    number: int,
    picked: bool,
    found: Mapping[Constraint, float | None] | None = None,
) -> dict[str, Any]:
    """Where a package comes from and which budgets it holds, without times and paths.

    What int8 loses of a solution that was not picked nobody has measured: `holds` is None. `found`: values that are
    other than the run's.
    """
    known = [outcome["baseline"], *(pick for pick in outcome["picks"].values() if pick), *outcome["trials"]]
    model = next((item for item in known if item["solution"] == number), None)
    if model is None:
        raise UsageError(f"the run has no solution {number}.", "'run.json' lists them under \"trials\".")
    values = {row: model.get(row.figure) for row in (MODEL_BYTES, PEAK, FLOPS, *LOSSES)}
    if not picked and outcome["target"]["dtype"] != DType.FLOAT32.value:
        values |= dict.fromkeys(LOSSES)
    values |= found or {}
    budgets = []
    for item in outcome["constraints"]:
        row, limit, part = NAMED[item["name"]], item["limit"], item["name"] in model.get("at_least", ())
        held = row.judge(limit, values.get(row), at_least=part)
        budgets.append({"name": row.name, "limit": limit, "value": held.value, "holds": held.holds})
    return {
        "solution": number,
        "edits": model["edits"],
        "target": {key: outcome["target"][key] for key in ("name", "dtype")},
        "seed": asked["options"]["seed"]["value"],
        "digests": {key: asked["digests"][key] for key in ("model", "data") if key in asked["digests"]},
        "versions": asked["versions"],
        "budgets": budgets,
        "accuracy": model["accuracy"],
    }


@dataclass(frozen=True)
class Formats:
    """What a solution is exported as: artefacts by their suffixes, sources; for `batch` samples at once.

    `units`: hardware that rebuilds its weights, too. `hold`: what C holds of them.
    """

    suffixes: tuple[str, ...]
    kinds: tuple[SourceKind, ...]
    batch: int = 1
    units: bool = False
    hold: Hold = Hold.WEIGHTS


def export(path: Path, number: int | None, formats: Formats, folder: Path) -> dict[str, Any]:
    """What `reexport.export` writes, and a solution as C or Verilog beside it; the check's document, with all that was
    written.

    Nothing is written when a model cannot be had as C or Verilog.
    """
    made = hardware(path, number) if formats.units else None
    texts = dict(made.texts) if made else {}
    told: dict[str, Any] = {"units": made.told} if made else {}
    documents = []
    with scratch() as room:
        if formats.hold is Hold.FACTORS:
            _refuse_held(formats.kinds)
            held = holding.export(path, number, room, formats.batch)
            documents.append(held.document)
            sources, sizes = sources_of(
                room / held.file, identifiers([Path(held.file).stem])[0], SourceKind.C, held.rebuilt
            )
            texts |= {**sources.headers, **sources.code}
            told["held"] = held.checked(sizes)
        elif formats.kinds:
            suffixes = [kind.suffix for kind in formats.kinds]
            documents.append(reexport.export(path, number, suffixes, room, formats.batch))
            for kind in formats.kinds:
                texts |= _texts(room, documents[0]["written"], kind)
    if formats.suffixes:
        documents.append(reexport.export(path, number, formats.suffixes, folder, formats.batch))
    _fill(folder, texts)
    checks = {name: item for document in documents for name, item in document["artifacts"].items()}
    written = [*(documents[-1]["written"] if formats.suffixes else ()), *texts]
    whole = documents[-1] if documents else reexport.unchecked(path)
    return whole | {"ok": all(d["ok"] for d in documents), "artifacts": checks, "written": written} | told


def _texts(room: Path, written: Sequence[str], kind: SourceKind) -> dict[str, str]:
    """The sources of an artefact in `room`, by the names of their files."""
    (artefact,) = (room / name for name in written if name.endswith(kind.suffix))
    name = identifiers([artefact.stem])[0] + {SourceKind.C: "", SourceKind.TFLM: "_tflm"}[kind]
    sources, _ = sources_of(artefact, name, kind)
    return {**sources.headers, **sources.code}


def _fill(folder: Path, texts: Mapping[str, str]) -> None:
    """Write texts by their paths in `folder`, those of a folder in it together."""
    for parent in dict.fromkeys(Path(name).parent for name in texts):
        with filling(folder / parent) as place:
            for name, text in texts.items():
                if Path(name).parent == parent:
                    (place / Path(name).name).write_text(text)


def refuse_name(name: str) -> None:
    """Raise UsageError for what C does not take as a name."""
    if not is_identifier(name):
        near = identifiers([name])[0]
        raise UsageError(
            f"{name!r} is no name in C: letters, digits and _ only, no digit or _ first, no keyword.",
            f"Give one with --name, such as {near}.",
        )


def sources_of(
    artefact: Path, name: str, kind: SourceKind, rebuilt: Mapping[str, Rebuilding] | None = None
) -> tuple[package.Sources, dict[str, int]]:
    """The sources of an artefact, and what they take in bytes: of flash and of RAM.

    `rebuilt`: in C, by layer how its weight is rebuilt from what is stored.
    """
    if kind is SourceKind.C:
        from edgett.export import c

        made = c.generate(artefact, name, version("edgett"), rebuilt)
        headers, code = {f"{name}.h": made.header}, {f"{name}.c": made.code}
        sources = package.Sources(name, headers, code, made.inputs, made.outputs, f"{name}_run", made.plain)
        ends = sum(port.bytes for port in (*made.inputs, *made.outputs))
        return sources, {
            "weight_bytes": made.weight_bytes, "workspace_bytes": made.workspace_bytes,
            "ram_bytes": made.workspace_bytes + ends,
        }  # fmt: skip
    from edgett.device import micro
    from edgett.export import tflm

    used = micro.run(artefact)
    text = tflm.generate(artefact, name, version("edgett"), used.total)
    headers = {f"{name}.h": text.header, f"{name}_ops.h": text.ops}
    sources = package.Sources(
        name, headers, {f"{name}_model.c": text.code}, text.inputs, text.outputs,
        "a function that hands its first arguments to the interpreter, invokes it, and copies its outputs out",
    )  # fmt: skip
    return sources, {"model_bytes": artefact.stat().st_size, "arena_bytes": text.arena_bytes,
                     "arena_head_bytes": used.head, "arena_tail_bytes": used.tail}  # fmt: skip


def _vectors(sources: package.Sources, found: _Found) -> package.Vectors:
    """Validation samples, as many as fit, and what the reference runtime makes of the artefact with them."""
    each = sum(port.bytes for port in (*sources.inputs, *sources.outputs))
    held = len(next(iter(found.samples.values()))) // found.batch
    count = max(1, min(VECTORS, VECTOR_BYTES // each, held))
    samples = {name: array[: count * found.batch] for name, array in found.samples.items()}
    # Before what the model makes of them, which is not finite either then, and no fault of its own.
    if not all(np.isfinite(array).all() for array in samples.values()):
        raise DataError(
            "the validation samples are not all finite: no self-test can be made of them.", "Mend the data."
        )
    made = local.run(found.file, samples, found.batch)
    if not all(np.isfinite(array).all() for array in made.values()):
        raise ToolError("the model's outputs are not all finite: no self-test can be made of them.", "Train it again.")
    given = tuple(port.stored(samples[port.name]).reshape(count, -1) for port in sources.inputs)
    expected = tuple(port.stored(made[port.name]).reshape(count, -1) for port in sources.outputs)
    tolerances = tuple(
        float(STEPS) if port.scale is not None else FLOAT_TOLERANCE * max(float(np.abs(array).max()), 1e-2)
        for port, array in zip(sources.outputs, expected, strict=True)
    )
    return package.Vectors(given, expected, tolerances, drawn="data" not in found.origin["digests"])


def _ports(ports: Any) -> list[dict[str, Any]]:
    return [
        {"name": port.name, "identifier": port.identifier, "type": port.c_type, "shape": list(port.shape),
         "scale": port.scale, "zero_point": port.zero_point}
        for port in ports
    ]  # fmt: skip


def checked(folder: Path, run: Path | None) -> dict[str, Any]:
    """A package against its manifest and, if it is given, the run that it came from; the document of what is found."""
    verdict = manifest.verify(folder)
    stale = _stale(verdict.manifest, run) if run is not None else []
    return {
        "schema": SCHEMA, "package": str(folder), "name": verdict.manifest.get("name"), "ok": verdict.ok and not stale,
        "changed": list(verdict.changed), "missing": list(verdict.missing), "foreign": list(verdict.foreign),
        "stale": stale, "packed_by": verdict.manifest.get("edgett"),
    }  # fmt: skip


def _stale(content: Mapping[str, Any], path: Path) -> list[str]:
    """What of the run is no longer what the package was made from."""
    asked, _, outcome = session.told(path)
    return list(_differences(content, asked, outcome))


def _differences(content: Mapping[str, Any], asked: Mapping[str, Any], outcome: Mapping[str, Any]) -> Iterator[str]:
    was = content["run"]
    known = (outcome["baseline"], *outcome["trials"])
    now = next((item for item in known if item["solution"] == was["solution"]), None)
    if now is None:
        yield f"the run has no solution {was['solution']} any more"
        return
    yield from (f"its {key}" for key, digest in was["digests"].items() if asked["digests"].get(key) != digest)
    if outcome["target"]["name"] != was["target"]["name"]:
        yield "its target"
    if now["edits"] != was["edits"]:
        yield "the solution's forms"
    suffix, digest = content["artefact"]["suffix"], content["artefact"]["sha256"]
    written = [item["sha256"] for item in _files(outcome, was["solution"]) if str(item["path"]).endswith(suffix)]
    if written and digest not in written:
        yield "its artefact"
