"""The options that several commands share, and how their values are read."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgett.cli import complete
from edgett.errors import UsageError
from edgett.forms.site import Estimate
from edgett.graph.dtype import DType
from edgett.job.attack import Attacker
from edgett.job.choices import Hold
from edgett.search.choices import Strategy

BASELINE, DENSE = "baseline", -1
"""What the dense model is called on the command line, and its number, which takes NumPy to import."""


class ExportFormat(enum.Enum):
    """A file that a model can be written as."""

    KERAS = "keras"
    TFLITE = "tflite"
    ONNX = "onnx"
    C = "c"
    TFLM = "tflm"
    VERILOG = "verilog"


Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="A Keras model's file, or example:clock, example:lenet300, example:lenet5, example:alexnet,"
        " example:vgg16, example:resnet8, example:dscnn. Default: the model in edgett.toml, else example:clock.",
        show_default=False,
        autocompletion=complete.models,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="x_train y_train x_test y_test, and x_val y_val if there are: an .npz, package.module:function that"
        " returns them, mnist or cifar10. Of several inputs or outputs: x_train.NAME, y_train.NAME. Labels may be"
        " missing.",
        show_default=False,
        autocompletion=complete.data,
    ),
]
Augment = Annotated[
    str | None,
    typer.Option(
        metavar="WHAT",
        help="Alters training inputs anew in every epoch, and where layers are fitted: package.module:function of a"
        " batch (and, if it takes a second argument, a numpy.random.Generator), or a .keras file of Keras's"
        " preprocessing layers, such as RandomFlip.",
        show_default=False,
    ),
]
Target = Annotated[
    str | None,
    typer.Option("--target", "-t", help="A target's name, or a profile's path.", autocompletion=complete.targets),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="The run directory. Default: runs/<model>-<target>-<n>.",
        show_default=False,
        autocompletion=complete.runs,
    ),
]
MaxDrop = Annotated[
    float | None, typer.Option(help="Largest loss of accuracy in percentage points. Default: the target's.")
]
MaxRobustDrop = Annotated[
    float | None,
    typer.Option(help="Largest loss of accuracy under attack, in percentage points. Default: the target's, or any."),
]
Attack = Annotated[
    Attacker | None,
    typer.Option(
        help="Judge models under attack too. pgd: several steps along the sign of the gradient. fgsm: one. Default pgd,"
        " where anything asks for an attack.",
        show_default=False,
    ),
]
Epsilon = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="How far an attack moves each number of an input at most, as a share of the range of the training inputs:"
        " 0.1 of 0..255 is 25.5. Default 0.1.",
        show_default=False,
    ),
]
AttackSteps = Annotated[
    int | None,
    typer.Option(metavar="N", help="Steps of pgd, each 2.5 / N of epsilon. Default 7.", show_default=False),
]
ModelBytes = Annotated[
    str | None, typer.Option(metavar="SIZE", help='Largest file: "512 KiB", "50 %". Default: the target\'s.')
]
Peak = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help='Most RAM that tensors take at once: "64 KiB". Default: the target\'s.'),
]
Flops = Annotated[
    str | None, typer.Option(metavar="WORK", help='Most FLOPs: "2 MFLOP", "50 %". Default: the target\'s.')
]
LatencyMs = Annotated[
    float | None,
    typer.Option(
        metavar="MS",
        help="Longest time of an inference, on a target that was calibrated. Default: the target's.",
    ),
]
Dtype = Annotated[
    DType | None,
    typer.Option(help="Type of the exported numbers, calibrated on training data. Default: the target's."),
]
Batch = Annotated[int | None, typer.Option(min=1, help="Samples an exported model takes at once. Default 1.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of everything random. Default 0.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with the run in --out; of a finished one, tell what came of it, with its exit code."
    ),
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh",
        help="Start anew in --out, in the place of the run that is there; with --resume only where anything has"
        " changed that it stands on.",
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
        " behind it says which way. A function is to be high, unless its name ends in error, loss, deviance, distance"
        " or divergence. Default: the model's own metrics.",
        show_default=False,
    ),
]
InputShape = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SIZES",
        help="Sizes of a sample where the model leaves them open: 96,96,3, or NAME=96,96,3 for each of several inputs.",
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
        help="pareto: a rank for every bond, the whole space, the weights' spectra in view; convolutions too. grid: one"
        " max rank for all bonds, corner points of a grid (the paper's). Default pareto, or grid with an option of it.",
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
        help="Leave layers alone that, with all of their size, hold a smaller share of the parameters. Default 0.1,"
        " for pareto 0.01.",
        show_default=False,
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


def _solution(text: str) -> int:
    """The number of a solution; the dense model's is that of `baseline`."""
    try:
        return DENSE if text == BASELINE else int(text)
    except ValueError:
        raise UsageError(
            f"--solution {text} is neither a number nor '{BASELINE}'.", "The run's report lists the solutions."
        ) from None


Solution = Annotated[
    int | None,
    typer.Option(
        metavar="ID",
        parser=_solution,
        help="The number of a fine-tuned solution, or baseline: the dense model. Default: the recommended one.",
        autocompletion=complete.solutions,
        show_default=False,
    ),
]
Held = Annotated[
    Hold,
    typer.Option(
        "--hold",
        help="factors: C stores int8 factors, and multiplies them out to the weights of dense layers in RAM, layer by"
        " layer: less flash, more RAM. weights: it computes with the factors.",
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
