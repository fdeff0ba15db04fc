"""The commands."""

from __future__ import annotations

import inspect
import re
from typing import Annotated

import typer

from edgett.cli.bench import bench
from edgett.cli.calibrate import calibrate
from edgett.cli.compress import compress
from edgett.cli.deploy import deploy
from edgett.cli.doctor import doctor
from edgett.cli.explore import explore
from edgett.cli.firmware import app as firmware
from edgett.cli.report import report
from edgett.cli.runs import check, export
from edgett.cli.schema import schema
from edgett.cli.slim import slim
from edgett.cli.targets import app as targets
from edgett.cli.train import train

app = typer.Typer(
    name="edgett",
    help="Makes a trained Keras model fit a device: its layers are held in low-rank forms, tensor trains above all.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command()(compress)
app.command()(deploy)
app.command()(explore)
app.command()(slim)
app.command()(train)
app.command()(export)
app.command()(check)
app.command()(report)
app.command()(bench)
app.command()(calibrate)
app.command()(doctor)
app.command()(schema)
app.add_typer(firmware, name="firmware")
app.add_typer(targets, name="targets")


def _flow(part: typer.Typer) -> None:
    """Let the paragraphs of every command's help flow: Typer keeps the line ends of all but the first."""
    for command in part.registered_commands:
        command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(command.callback) or "")


for part in (app, firmware, targets):
    _flow(part)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"edgett {version('edgett')}")
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    epilog="[bold]Examples[/bold]\n\n"
    "edgett compress --target cortex-a53\n\n"
    "edgett compress model.keras --data data.npz --target cortex-m4\n\n"
    "edgett deploy model.keras --data data.npz --target cortex-m4\n\n"
    "edgett explore --layer 4096x4096 --layer 4096x1000\n\n"
    "[bold]Exit codes[/bold]\n\n"
    "0 done, 2 wrong usage, 3 bad model, data or profile, 4 nothing meets the budgets, 5 the cross-check failed, 6 a"
    " device, a tool or the file system failed, 130 interrupted",
)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
