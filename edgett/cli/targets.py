"""edgett targets"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgett.cli import complete, options
from edgett.cli.console import Screen

app = typer.Typer(help="The devices that edgett knows, and profiles of your own.", rich_markup_mode="rich")


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("list")
def list_(json: options.Json = False, quiet: options.Quiet = False, debug: options.Debug = False) -> None:
    """List the targets that --target takes.

    [bold]Example[/bold]

    edgett targets list
    """
    from edgett.report import profiles
    from edgett.target.profile import list_targets

    good, bad = list_targets()
    screen = Screen(json=json, silent=quiet)
    screen.show(profiles.listed(good), profiles.draw_list)
    for problem in bad:
        screen.say(f"Left out: {problem.message} {problem.cure}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A target's name, or a profile's path.", autocompletion=complete.targets)],
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show a target: every field, what it means, and where its value comes from.

    [bold]Example[/bold]

    edgett targets show cortex-m4
    """
    from edgett.report import profiles
    from edgett.target.profile import load_target

    Screen(json=json).show(profiles.shown(load_target(name)), profiles.draw)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A profile of your own.")],
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Check a profile, and show it as it is understood.

    [bold]Example[/bold]

    edgett targets check my-board.toml
    """
    from edgett.report import profiles
    from edgett.target.profile import load_profile

    Screen(json=json).show(profiles.shown(load_profile(file)), profiles.draw)
