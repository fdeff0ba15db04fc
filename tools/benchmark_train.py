"""Training in low rank beside training dense, from the same initial weights: `python tools/benchmark.py train`."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Annotated, Any

import keras
import typer

from edgett.job.job import Job
from edgett.meter import Silent
from edgett.train.phases import Epochs
from edgett.workflow import train as work


def train(
    data: Annotated[str, typer.Option(help="mnist.npz")],
    units: Annotated[str, typer.Option(help="Of the hidden layers.")] = "2048,2048",
    epochs: Annotated[int, typer.Option(help="Of both.")] = 10,
    flops: Annotated[str, typer.Option(help="What the low-rank network may keep.")] = "10 %",
    seeds: Annotated[int, typer.Option(help="Initial weights.")] = 3,
    model: Annotated[Path | None, typer.Option(help="Another network, instead.")] = None,
) -> None:
    """Wall time, all told, and test accuracy; the alternative is the same loop, dense in every epoch."""
    rows = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "network.keras")
            keras.utils.set_random_seed(seed)
            (keras.models.load_model(model) if model else _network([int(one) for one in units.split(",")])).save(path)
            job = Job("host", str(path), data, seed=seed, flops=flops)
            ways = {"dense": Epochs(epochs, epochs), "low rank": Epochs.of(epochs),
                    "and dense again": Epochs.of(epochs, None, max(1, epochs // 10))}  # fmt: skip
            for name, plan in ways.items():
                told = work.train(job, plan, Path(folder, "trained.keras"), resume=False, meter=Silent())
                rows.append((name, sum(told["seconds"].values()), told["test_accuracy"][0]["value"], told))
                print(f"seed {seed}, {_told(*rows[-1])}", flush=True)
    first = statistics.fmean(seconds for name, seconds, _, _ in rows if name == "dense")
    for name in dict.fromkeys(row[0] for row in rows):
        some = [row for row in rows if row[0] == name]
        seconds, scores = statistics.fmean(row[1] for row in some), [row[2] for row in some]
        print(f"{name:16} {seconds:8.1f} s ({first / seconds:.2f}x), test {statistics.fmean(scores):.4f}"
              f" ({min(scores):.4f} .. {max(scores):.4f})")  # fmt: skip


def _network(units: list[int]) -> keras.Model:
    hidden = [keras.layers.Dense(count, "relu") for count in units]
    ends = [keras.Input((28, 28), name="image"), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    model = keras.Sequential([*ends, *hidden, keras.layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _told(name: str, seconds: float, score: float, document: dict[str, Any]) -> str:
    parts = ", ".join(f"{part} {one:.1f} s" for part, one in document["seconds"].items() if one)
    params = document["params"]
    return (
        f"{name}: {seconds:.1f} s ({parts}), test {score:.4f}, {params['after']:,} of {params['before']:,} parameters"
    )
