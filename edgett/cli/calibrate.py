"""edgett calibrate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgett.cli import complete, options
from edgett.cli.console import Screen

_IDLE = {"local": ("python", "ssh_config"), "emulator": ("python", "ssh_config")}


def calibrate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The profile to write: NAME.toml.")],
    device: Annotated[
        str,
        typer.Option(
            metavar="DEVICE", help="Where: local, ssh://user@host[:port], or emulator.", autocompletion=complete.devices
        ),
    ] = "local",
    target: Annotated[
        str,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME|FILE",
            autocompletion=complete.targets,
            help="The profile that everything else is taken from: format, type of number, threads, memory, budget.",
        ),
    ] = "host",
    limit: Annotated[
        int, typer.Option(min=1, max=86400, help="Seconds after which a dozen probes are given up.")
    ] = 600,
    python: options.Python = "python3",
    ssh_config: options.SshConfig = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Measure how fast a device is, and write a profile with which latencies can be predicted.

    Small graphs of all kinds are measured there: products, TT layers, chains of next to nothing. With such a profile
    latency_ms is a budget, latency an objective, and layers stay dense that would be slower otherwise. A few minutes.

    An emulator counts instructions of the C that edgett writes, which are no times. Latency is an objective then, too,
    and reports foretell the instructions of every model.

    [bold]Examples[/bold]

    edgett calibrate --out laptop.toml

    edgett calibrate --device ssh://pi@raspberrypi.local --target cortex-a72 --out pi4.toml

    edgett calibrate --device emulator --target cortex-m4 --out cortex-m4f.toml

    edgett compress model.keras --data data.npz --target pi4.toml --latency-ms 0.5 --objective latency
    """  # fmt: skip
    from edgett.report import bench
    from edgett.workflow import bench as devices
    from edgett.workflow import calibrate as work
    from edgett.workflow import count

    options.refuse_idle(context, device, _IDLE)
    screen = Screen(json=json, silent=quiet)
    if device == "emulator":
        document = count.calibrate(target, out, limit, screen)
    else:
        place = devices.device(device, devices.Reach(python, ssh_config))
        document = work.calibrate(place, target, out, limit, screen)
    screen.say(f"written: {out}")
    return screen.conclude(document, bench.kernels if device == "emulator" else bench.calibrated, None)
