"""edgett schema"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from edgett.cli import complete, options


def schema(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="The command that prints the document, run.json or error. Without it: which there are.",
            autocompletion=complete.documents,
            show_default=False,
        ),
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Print the JSON Schema of a JSON document that edgett prints or writes.

    Every key is in it, with its meaning and its unit.

    [bold]Examples[/bold]

    edgett schema

    edgett schema compress

    edgett schema firmware pack
    """
    from edgett.schema import documents

    if name:
        print(json.dumps(documents.schema(" ".join(name)), indent=2))
        return
    room = max(map(len, documents.DOCUMENTS))
    for title, one in documents.DOCUMENTS.items():
        print(f"{title:{room}}  {one.met}")
