"""The options that several commands share, and how their values are read."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgett.cli import complete
from edgett.errors import UsageError
from edgett.values import Estimate, Strategy


class ExportFormat(enum.Enum):
    """A file that a model can be written as."""

    KERAS = "keras"
    TFLITE = "tflite"
    ONNX = "onnx"
    C = "c"
    TFLM = "tflm"


Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="A .keras or .h5 file, or example:clock, example:lenet300, example:lenet5, example:alexnet, example:vgg16."
        " Default: the model in edgett.toml, else example:clock.",
        show_default=False,
        autocompletion=complete.models,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="An .npz with x_train y_train x_test y_test, package.module:function, mnist or cifar10.",
        show_default=False,
        autocompletion=complete.data,
    ),
]
CustomObjects = Annotated[
    str | None,
    typer.Option(metavar="MODULE", help="A module that defines what the model needs beyond Keras.", show_default=False),
]
Metric = Annotated[
    str | None,
    typer.Option(
        metavar="METRIC",
        help="What models are judged by: package.module:function of (y_true, y_pred), or a metric's name; :max or :min"
        " behind it says which way. Default: the model's own metrics.",
        show_default=False,
    ),
]
Ranks = Annotated[
    str | None,
    typer.Option(metavar="RANKS", help="Max ranks: 2:12 (inclusive), 2:64:4 (with a step) or 4,8,16. Default 2:12."),
]
GridSize = Annotated[int | None, typer.Option(min=1, help="Tiles a side of the grid. Default 8.")]
SearchBy = Annotated[
    Strategy | None,
    typer.Option(
        help="grid: one max rank for all bonds, corner points of a grid (the paper's). pareto: a rank for every bond,"
        " the whole space, the weights' spectra in view. Default grid.",
        show_default=False,
    ),
]
RankMultiple = Annotated[
    int | None, typer.Option(metavar="M", help="For pareto: ranks are multiples of M. Default 4, for SIMD.")
]
MaxRank = Annotated[int | None, typer.Option(metavar="R", help="For pareto: the largest rank of a bond. Default 64.")]
ErrorEstimate = Annotated[
    Estimate | None,
    typer.Option("--estimate", help="For pareto: what stands for the error. Default largest-cut.", show_default=False),
]
Share = Annotated[
    float | None,
    typer.Option(
        help="Leave layers alone that hold a smaller share of the parameters. Default 0.1.", show_default=False
    ),
]
OnlyLayer = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Factorise this layer and no others; may be repeated.", autocompletion=complete.layers
    ),
]
SkipLayer = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Leave this layer alone; may be repeated.", autocompletion=complete.layers),
]
Solution = Annotated[
    int | None,
    typer.Option(
        metavar="ID",
        help="The number of a fine-tuned solution. Default: the recommended one.",
        autocompletion=complete.solutions,
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory.", autocompletion=complete.runs)]
Python = Annotated[str, typer.Option(metavar="PATH", help="The Python of a remote device.")]
SshConfig = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A configuration for ssh, as for ssh -F.", dir_okay=False)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, all else on standard error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def refuse_idle(context: typer.Context, device: str, idle: Mapping[str, Sequence[str]]) -> None:
    """Raise UsageError for an option that was given and means nothing to the kind of device that was named."""
    for name in idle.get(device.partition("://")[0], ()):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} means nothing to --device {device}.", "Leave one of them out.")
