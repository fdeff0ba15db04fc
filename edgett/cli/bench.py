"""edgett bench"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgett.cli import complete, options
from edgett.cli.console import Screen

_IDLE = {
    "local": ("target", "python", "ssh_config"),
    "ssh": ("target",),
    "emulator": ("threads", "runs", "seconds", "python", "ssh_config"),
}
"""What means nothing to each kind of device."""


def bench(
    context: typer.Context,
    artefacts: Annotated[
        list[Path],
        typer.Argument(
            metavar="ARTIFACT|RUN...",
            help=".tflite or .onnx files, or a run's directory.",
            autocompletion=complete.subjects,
        ),
    ],
    device: Annotated[
        str,
        typer.Option(
            metavar="DEVICE",
            help="Where: local, ssh://user@host[:port], or emulator.",
            autocompletion=complete.devices,
        ),
    ] = "local",
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME|FILE",
            autocompletion=complete.targets,
            help="What the emulator emulates. Default: the run's target.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each runtime, on as many processors.")] = 1,
    runs: Annotated[int, typer.Option(min=1, max=10**9, help="Timed runs of each artefact, at least.")] = 50,
    seconds: Annotated[
        float, typer.Option(min=0.0, max=600.0, help="Seconds that each artefact is timed, or 20,000 runs.")
    ] = 2.0,
    limit: Annotated[
        int, typer.Option(min=1, max=86400, help="Seconds after which a benchmark, or an emulation, is given up.")
    ] = 1800,
    python: options.Python = "python3",
    ssh_config: options.SshConfig = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Measure artefacts side by side on a device: times, memory, size, and whether the outputs agree.

    They take turns, and each is compared with the first; of a run the dense model is the first, its picks are the
    others. A difference that may be noise is called so. An emulator counts instructions, which are no times.

    A device behind ssh needs Python 3.9 with a runtime: ai-edge-litert, tflite-runtime or onnxruntime. One without
    Python is sent a static binary, the models in it as C, if a compiler for it is installed here. What goes there is
    removed afterwards; only hosts whose key is known are connected to. There is no adb.

    [bold]Examples[/bold]

    edgett bench runs/clock-cortex-a53-1

    edgett bench runs/clock-cortex-a53-1 --device ssh://pi@raspberrypi.local

    edgett bench runs/clock-cortex-a53-1 --device emulator

    edgett bench dense.tflite small.tflite small.onnx --threads 2 --json
    """
    from edgett.device.bench import Plan
    from edgett.report import bench, reports
    from edgett.workflow import bench as work
    from edgett.workflow import emulate

    options.refuse_idle(context, device, _IDLE)
    screen = Screen(json=json, silent=quiet)
    if device == "emulator":
        document = emulate.emulate(artefacts, target, limit, screen)
        reports.keep(artefacts, document, screen)
        return screen.conclude(document, bench.counted, None)
    place = work.device(device, work.Reach(python, ssh_config))
    document = work.bench(artefacts, place, Plan(threads, runs, seconds, limit=limit), screen)
    reports.keep(artefacts, document, screen)
    return screen.conclude(document, bench.drawn, None)
