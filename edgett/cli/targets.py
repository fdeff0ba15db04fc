"""edgett targets"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgett.cli import options
from edgett.cli.console import Screen

app = typer.Typer(help="The devices that edgett knows, and profiles of your own.", no_args_is_help=True)


@app.command("list")
def list_(json: options.Json = False) -> None:
    """List the targets that --target takes."""
    from edgett.report import profiles
    from edgett.targets import list_targets

    good, bad = list_targets()
    screen = Screen(json=json)
    screen.show(profiles.listed(good), profiles.draw_list)
    for problem in bad:
        screen.say(f"Left out: {problem.message} {problem.cure}")


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="A target's name, or a profile's path.", autocompletion=options.target_names)
    ],
    json: options.Json = False,
) -> None:
    """Show a target: every field, what it means, and where its value comes from."""
    from edgett.report import profiles
    from edgett.targets import load_target

    Screen(json=json).show(profiles.shown(load_target(name)), profiles.draw)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A profile of your own.")],
    json: options.Json = False,
) -> None:
    """Check a profile, and show it as it is understood."""
    from edgett.report import profiles
    from edgett.targets import load_profile

    Screen(json=json).show(profiles.shown(load_profile(file)), profiles.draw)
