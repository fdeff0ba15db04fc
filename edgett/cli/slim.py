"""edgett slim"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgett.cli import options
from edgett.cli.console import Screen
from edgett.errors import UsageError


def slim(
    model: options.Model = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The .keras file to write.")] = Path("slim.keras"),
    data: options.Data = None,
    seed: options.Seed = None,
    custom_objects: options.CustomObjects = None,
    input_shape: options.InputShape = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Remove the channels of MODEL that contribute nothing, with all that reads them; its outputs stay as they are.

    A channel goes that is zero for every input, whatever they are, or that nothing reads but with zeros. Weights that
    decay has left next to nothing count as zeros. Outputs are compared on random inputs before the file is written.

    [bold]Examples[/bold]

    edgett slim model.keras --out small.keras

    edgett slim model.h5 --out small.keras --json
    """
    from edgett.job.job import load_project, resolve
    from edgett.report import slim as tables
    from edgett.workflow import inputs
    from edgett.workflow import slim as work

    screen = Screen(json=json, silent=quiet)
    if out.suffix != ".keras":
        raise UsageError(f"{out} does not end in .keras, by which Keras knows its files.", f"--out {out}.keras")
    given = {
        "target": "host", "model": model, "data": data, "seed": seed, "custom_objects": custom_objects,
        "input_shape": input_shape or None,
    }  # fmt: skip
    job, _ = resolve(given, load_project())
    inputs.announced(job, screen)
    document = work.slim(job, out, screen)
    screen.say(f"written: {out}")
    return screen.conclude(document, tables.drawn, None)
