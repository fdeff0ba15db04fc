"""edgett export, edgett check: a finished run again"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgett.cli import options
from edgett.cli.console import Screen
from edgett.errors import CheckFailed
from edgett.job.choices import Hold

_FILES = (options.ExportFormat.KERAS, options.ExportFormat.TFLITE, options.ExportFormat.ONNX)


def export(
    run: options.Run,
    solution: options.Solution = None,
    format: Annotated[
        list[options.ExportFormat] | None,
        typer.Option(
            help="keras, tflite, onnx, c (C99), tflm (sources for LiteRT for Microcontrollers), verilog (units that"
            " rebuild weights from int8 factors); may be repeated. Default: keras, tflite and onnx.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write. Default: RUN/exports.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples an exported model takes at once.")] = 1,
    hold: options.Held = Hold.WEIGHTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Export any fine-tuned solution of a run, and check the files.

    [bold]Examples[/bold]

    edgett export runs/clock-cortex-a53-1 --solution 17 --format tflite

    edgett export runs/clock-cortex-a53-1 --batch 8 --out exported

    edgett export runs/clock-cortex-m4-1 --format c --out firmware

    edgett export runs/clock-cortex-m4-1 --format c --hold factors

    edgett export runs/clock-cortex-m4-1 --format verilog
    """
    from edgett.firmware.kind import SourceKind
    from edgett.report import checks
    from edgett.workflow import pack

    screen = Screen(json=json, silent=quiet)
    with screen.stage("exporting"):
        asked = [item.value for item in dict.fromkeys(format or _FILES)]
        suffixes = tuple(f".{value}" for value in asked if options.ExportFormat(value) in _FILES)
        kinds = tuple(kind for kind in SourceKind if kind.value in asked)
        formats = pack.Formats(suffixes, kinds, batch, options.ExportFormat.VERILOG.value in asked, hold)
        folder = out or run / "exports"
        document = pack.export(run, solution, formats, folder)
    places = dict.fromkeys(folder / Path(path).parts[0] for path in document["written"])  # folders as one
    screen.say(f"written: {', '.join(map(str, places))}")
    return screen.conclude(document, checks.check, _problem(document))


def check(
    run: options.Run,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Check a run's artefacts again: what the files hold against the prediction, their outputs against Keras's.

    [bold]Example[/bold]

    edgett check runs/clock-cortex-a53-1
    """
    from edgett.report import checks
    from edgett.workflow import reexport

    screen = Screen(json=json, silent=quiet)
    with screen.stage("checking the artefacts"):
        document = reexport.check(run)
    return screen.conclude(document, checks.check, _problem(document))


def _problem(document: Mapping[str, Any]) -> CheckFailed | None:
    bad = [path for path, item in document["artifacts"].items() if not item["ok"]]
    if not bad:
        return None
    return CheckFailed(f"not what was predicted: {', '.join(bad)}.", "Do not deploy these files.")
