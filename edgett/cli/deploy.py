"""edgett deploy"""

from __future__ import annotations

from edgett.cli import making, options
from edgett.cli.console import Screen


def deploy(
    model: options.Model = None,
    target: options.Target = None,
    data: options.Data = None,
    metric: options.Metric = None,
    out: options.Out = None,
    dtype: options.Dtype = None,
    max_drop: options.MaxDrop = None,
    attack: options.Attack = None,
    epsilon: options.Epsilon = None,
    attack_steps: options.AttackSteps = None,
    max_robust_drop: options.MaxRobustDrop = None,
    model_bytes: options.ModelBytes = None,
    peak: options.Peak = None,
    flops: options.Flops = None,
    latency_ms: options.LatencyMs = None,
    batch: options.Batch = None,
    seed: options.Seed = None,
    custom_objects: options.CustomObjects = None,
    input_shape: options.InputShape = None,
    resume: options.Resume = False,
    fresh: options.Fresh = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Deploy MODEL as it is: export, cross-check, hold to the target's budgets; nothing is trained or replaced.

    The run is ready for export, check, report, bench and firmware pack. Without --data nothing is judged: float32 alone
    can do without. What is not given comes from ./edgett.toml, then the target, then the defaults.

    [bold]Examples[/bold]

    edgett deploy model.keras --data data.npz --target cortex-m4 --dtype int8

    edgett deploy model.keras --target cortex-m7

    edgett deploy --target cortex-m4 --out runs/as-it-is

    edgett deploy --out runs/as-it-is --resume
    """
    given = {
        "model": model, "target": target, "data": data, "metric": metric, "dtype": dtype, "max_drop": max_drop,
        "model_bytes": model_bytes, "peak": peak, "flops": flops, "latency_ms": latency_ms, "batch": batch,
        "attack": attack, "epsilon": epsilon, "attack_steps": attack_steps, "max_robust_drop": max_robust_drop,
        "seed": seed, "custom_objects": custom_objects, "input_shape": input_shape or None,
    }  # fmt: skip
    return making.made(_work(), given, making.Place(out, resume, fresh), Screen(json=json, silent=quiet))


def _work() -> making.Work:
    from edgett.job.job import Command
    from edgett.workflow import deploy as work

    return making.Work(Command.DEPLOY, work.load, work.deploy)
