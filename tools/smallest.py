"""The smallest files that lose nothing: LeNet300 and LeNet5 beside Deep Compression (Han, Mao, Dally, ICLR 2016).

That stores them in 27 and 44 KB, a fortieth of their float32 weights, to be unpacked before use. Ours run as they are.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORTIETH = 40
EPOCHS, TRIED = 16, 8
TRAINING = 8
"""Epochs in which LeNet5 is trained here: edgett's own example is a smaller one."""

HELD = 6_000
"""Images that it does not see."""

MAIN = """#include <stdio.h>
#include "net.h"
#include "net_selftest.h"
int main(void) { printf("%d\\n", net_selftest(net_run)); return 0; }
"""


@dataclass(frozen=True)
class Smallest:
    """A network, the parameters that it has, and the bytes that Deep Compression stores it in."""

    name: str
    params: int
    theirs: int

    @property
    def budget(self) -> int:
        """Bytes: a fortieth of what its parameters take in float32."""
        return 4 * self.params // FORTIETH


NETWORKS = (Smallest("lenet300", 266_610, 27_000), Smallest("lenet5", 431_080, 44_000))


def smallest(mnist: Path, seeds: int, work: Path) -> int:
    """Compress both networks from each seed, going on from what the folder has; how many miss that."""
    print("| network | seed | .tflite | of float32 | accuracy, dense | the file's | lost | C package |")
    print("|---|---:|---:|---:|---:|---:|---:|---|")
    faults = 0
    for network in NETWORKS:
        rows = [_row(network, mnist, seed, work) for seed in range(seeds)]
        for row in rows:
            print(f"| {network.name} | {' | '.join(row.cells(network))} |", flush=True)
        lost, size = statistics.fmean(row.lost for row in rows), max(row.size for row in rows)
        ratio = 4 * network.params / size
        told = f"{size:,} at most | 1/{ratio:.0f} | | | {lost:+.2f} | theirs: {network.theirs:,}"
        print(f"| {network.name} | mean | {told} |")
        faults += lost > 0 or ratio < FORTIETH or not all(row.proved for row in rows)
    return faults


@dataclass(frozen=True)
class Row:
    """A file: its bytes, test accuracies of the dense model and its own, and whether its C passes the self-test."""

    seed: int
    size: int
    dense: float
    own: float
    proved: bool

    @property
    def lost(self) -> float:
        """Percentage points."""
        return 100 * (self.dense - self.own)

    def cells(self, network: Smallest) -> list[str]:
        """Of a line of the table."""
        ratio = 4 * network.params / self.size
        told = "passes its self-test" if self.proved else "FAILS its self-test"
        return [
            str(self.seed), f"{self.size:,}", f"1/{ratio:.1f}", f"{self.dense:.4f}", f"{self.own:.4f}",
            f"{self.lost:+.2f}", told,
        ]  # fmt: skip


def _row(network: Smallest, mnist: Path, seed: int, work: Path) -> Row:
    run = work / f"{network.name}-{seed}"
    model, data = ("example:lenet300", mnist) if network.name == "lenet300" else _lenet5(mnist, work)
    asked = [
        str(model), "--data", str(data), "--target", "cortex-a53", "--dtype", "int8", "--objective", "accuracy",
        "--model-bytes", f"{network.budget} B", "--max-drop", "0.5", "--epochs", str(EPOCHS), "--limit", str(TRIED),
        "--seed", str(seed),
    ]  # fmt: skip
    document = _edgett("compress", *([] if run.exists() else asked), *["--resume"] * run.exists(), "--out", str(run))
    pick, dense = document["picks"]["recommended"], document["baseline"]["original"]
    accuracies = (side["test_accuracy"][0]["value"] for side in (dense, pick))
    return Row(seed, pick["artifacts"]["tflite"]["bytes"], *accuracies, _proved(run, work / f"{run.name}-c"))


def _proved(run: Path, folder: Path) -> bool:
    """Whether the C of a run's recommended model, compiled here, puts out what it should for validation samples."""
    _edgett("firmware", "pack", str(run), "--out", str(folder), "--name", "net")
    (folder / "main.c").write_text(MAIN, encoding="utf-8")
    sources = [str(path) for path in folder.rglob("*.c")]
    places = sorted({f"-I{path.parent}" for path in folder.rglob("*.h")})
    subprocess.run(["gcc", "-O2", *places, *sources, "-lm", "-o", str(folder / "main")], check=True)
    return subprocess.run([folder / "main"], check=True, capture_output=True, text=True).stdout.strip() == "0"


def _edgett(*arguments: str) -> Any:
    made = subprocess.run(
        [sys.executable, "-m", "edgett", *arguments, "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    if made.returncode not in (0, 4):
        sys.exit(f"edgett {' '.join(arguments)}: exit {made.returncode}")
    return json.loads(made.stdout)


def _lenet5(mnist: Path, work: Path) -> tuple[Path, Path]:
    """Caffe's LeNet5, which Deep Compression is told of: two convolutions of 5 x 5, 500 units; trained here once.

    Its data have the images that judge candidates apart from those that it was trained on.
    """
    path, data = work / "lenet5.keras", work / "lenet5.npz"
    if path.exists():
        return path, data
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(20, 5, name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(50, 5, name="conv2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(500, activation="relu", name="fc1"),
            layers.Dense(10, activation="softmax", name="fc2"),
        ],
        name="lenet5",
    )
    assert model.count_params() == NETWORKS[1].params
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    with np.load(mnist) as stored:
        x, y, x_test, y_test = (stored[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    x, x_test = x[..., None], x_test[..., None]
    rates = keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3 * (1 - epoch / TRAINING))
    seen = slice(len(x) - HELD), slice(len(x) - HELD, None)
    model.fit(x[seen[0]], y[seen[0]], batch_size=128, epochs=TRAINING, callbacks=[rates], verbose=0)
    work.mkdir(parents=True, exist_ok=True)
    np.savez(
        data, x_train=x[seen[0]], y_train=y[seen[0]], x_val=x[seen[1]], y_val=y[seen[1]], x_test=x_test, y_test=y_test
    )
    model.save(path)
    return path, data
