"""edgett firmware"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgett.cli import complete, options
from edgett.cli.console import Screen
from edgett.errors import CheckFailed, Infeasible
from edgett.firmware.kind import SourceKind
from edgett.job.choices import Hold

app = typer.Typer(help="A compressed model in a firmware build: sources, checks, sizes.", rich_markup_mode="rich")
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that 'edgett firmware pack' wrote.")]


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def pack(
    run: options.Run,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the package.")],
    format: Annotated[
        SourceKind, typer.Option(help="c: C99 that needs nothing else. tflm: for LiteRT for Microcontrollers.")
    ] = SourceKind.C,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the model is called in C. Default: the model's name.")
    ] = None,
    solution: options.Solution = None,
    licence: Annotated[
        str, typer.Option("--licence", "--license", metavar="SPDX", help="The model's licence, for the manifest.")
    ] = "NOASSERTION",
    hold: options.Held = Hold.WEIGHTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Write a model as a package that a firmware build takes as it is.

    Sources, a header, CMakeLists.txt with the target edgett::NAME, a Makefile fragment, a self-test with validation
    samples, and a manifest. The same run gives the same bytes; files that come out as they were are left alone.
    Refused is what takes more than the run's budgets, and a run whose cross-check failed.

    [bold]Examples[/bold]

    edgett firmware pack runs/clock-cortex-m4-1 --out firmware/clock

    edgett firmware pack runs/clock-cortex-m4-1 --out firmware/clock --format tflm --name dial
    """
    from edgett.report import packages
    from edgett.workflow import pack as work

    screen = Screen(json=json, silent=quiet)
    with screen.stage("packing"):
        document = work.pack(run, out, work.PackRequest(format, solution, name, licence, hold))
    screen.say(f"written: {out}")
    return screen.conclude(document, packages.draw_package, None)


@app.command()
def check(
    folder: Folder,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Also whether it is still what this run would give.",
            autocompletion=complete.runs,
        ),
    ] = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Whether a package is whole, unedited, and not stale.

    [bold]Examples[/bold]

    edgett firmware check firmware/clock

    edgett firmware check firmware/clock --run runs/clock-cortex-m4-1
    """
    from edgett.report import packages
    from edgett.workflow import pack as work

    document = work.checked(folder, run)
    wrong = [f"{key}: {', '.join(document[key])}" for key in ("changed", "missing", "stale") if document[key]]
    problem = CheckFailed(f"{folder} is not what was packed; {'; '.join(wrong)}.", "Pack it again.") if wrong else None
    return Screen(json=json).conclude(document, packages.draw_check, problem)


@app.command()
def size(
    elf: Annotated[Path, typer.Argument(metavar="ELF", help="The linked firmware.")],
    target: Annotated[
        str,
        typer.Option(
            "--target", "-t", metavar="NAME|FILE", autocompletion=complete.targets, help="Whose budgets hold."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="What the model in it is called: symbols that begin with NAME_ are gated too."
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Measure a linked firmware against a target: flash and RAM, by section and by the model's symbols.

    Exit code 4 when a budget does not hold.

    [bold]Example[/bold]

    edgett firmware size build/app.elf --target cortex-m4 --name clock
    """
    from edgett.firmware import elf as files
    from edgett.report import firmware
    from edgett.target.profile import load_target
    from edgett.workflow.pack import refuse_name

    if name is not None:
        refuse_name(name)
    profile = load_target(target)
    facts = files.read_elf(elf, name)
    document = firmware.size_document(facts, files.gate(facts, profile), profile)
    return Screen(json=json, silent=quiet).conclude(document, firmware.draw_size, _over(document))


def _over(document: Mapping[str, Any]) -> Infeasible | None:
    """What to say when a budget does not hold: by how much, and what takes the most."""
    broken = [item for item in document["constraints"] if item["holds"] is False]
    if not broken:
        return None
    over = "; ".join(f"{item['name']} is {item['value']:,} bytes, the limit {item['limit']:,}" for item in broken)
    largest = {
        f"{one['name']} ({one['bytes']:,})": None for item in broken for one in document["largest"][item["name"]]
    }
    return Infeasible(
        f"{document['elf']} is over the budgets of {document['target']['name']}: {over}.",
        f"The largest symbols there: {', '.join(largest)}." if largest else "",
    )


@app.command(hidden=True)
def name(text: Annotated[str, typer.Argument(metavar="NAME")], debug: options.Debug = False) -> None:
    """Whether a model can be called that in C; edgett.cmake asks."""
    from edgett.workflow.pack import refuse_name

    refuse_name(text)


@app.command()
def cmake() -> None:
    """Print the path of edgett.cmake, which has edgett_add_model.

    [bold]Example[/bold]

    execute_process(COMMAND edgett firmware cmake OUTPUT_VARIABLE file OUTPUT_STRIP_TRAILING_WHITESPACE)

    include(${file})
    """
    from edgett.firmware.package import CMAKE

    print(CMAKE)
