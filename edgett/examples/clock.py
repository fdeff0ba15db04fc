"""Clock faces with an hour and a minute hand, drawn by arithmetic: the data of the built-in example."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 36
"""Height and width of an image in pixels."""

TRAIN, VALIDATION, TEST = 6000, 1500, 1500
"""How many faces each split of the built-in example holds."""

_BLOCK = 256
_MINUTE = 2 * np.pi / 60

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Faces:
    """How each of n faces looks, fields of shape (n,): lengths in pixels, `rotation` in radians, grey levels 0..255."""

    centre_x: Floats
    centre_y: Floats
    radius: Floats
    rotation: Floats
    hour_width: Floats
    minute_width: Floats
    paper: Floats
    ink: Floats
    noise: Floats

    def __getitem__(self, rows: slice) -> Faces:
        return Faces(*(getattr(self, field.name)[rows] for field in fields(self)))


_RANGES = {
    "centre_x": (-0.4, 0.4),
    "centre_y": (-0.4, 0.4),
    "radius": (0.43 * SIZE, 0.46 * SIZE),
    "rotation": (-0.008, 0.008),  # a minute is 0.105 wide
    "hour_width": (2.4, 3.2),
    "minute_width": (1.6, 2.2),
    "paper": (170.0, 250.0),
    "ink": (0.0, 60.0),
    "noise": (1.0, 5.0),
}


def plain_style(count: int) -> Faces:
    """The middle of every range: `count` faces that all look the same."""
    return Faces(**{name: np.full(count, (low + high) / 2, np.float32) for name, (low, high) in _RANGES.items()})


def random_style(count: int, random: np.random.Generator) -> Faces:
    """`count` faces that differ in place, size, rotation, hands, light and noise."""
    return Faces(**{name: random.uniform(*ends, count).astype(np.float32) for name, ends in _RANGES.items()})


def draw(hour: Labels, minute: Labels, style: Faces) -> Floats:
    """Grey images (n, SIZE, SIZE) of clocks that show hour 0..11 and minute 0..59, noise left out.

    A stroke covers a pixel by half its width less the distance to the pixel's centre, which anti-aliases it.
    """
    steps = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2
    x = steps[None, None, :] - _column(style.centre_x)
    y = steps[None, :, None] - _column(style.centre_y)
    radius = _column(style.radius)
    hand_minute = _hand(x, y, _MINUTE * minute + style.rotation, (0.84 * style.radius, style.minute_width))
    hand_hour = _hand(x, y, _MINUTE * (5 * hour + minute / 12) + style.rotation, (0.5 * style.radius, style.hour_width))
    distance = np.hypot(x, y)
    ring = _cover(np.abs(distance - radius), 1.5)
    ticks = _ticks(np.arctan2(x, -y) - _column(style.rotation), distance, radius)
    ink = np.maximum.reduce([hand_minute, hand_hour, ring, ticks])
    paper = _column(style.paper)
    image: Floats = paper + ink * (_column(style.ink) - paper)
    return image


def clock_faces(count: int, seed: int) -> tuple[Bytes, Labels, Labels]:
    """`count` random faces: images (count, SIZE, SIZE) of 0..255, hours 0..11, minutes 0..59.

    The same count and seed always draw the same.
    """
    random = np.random.default_rng(seed)
    hour = random.integers(0, 12, count, dtype=np.int32)
    minute = random.integers(0, 60, count, dtype=np.int32)
    style = random_style(count, random)
    images = np.empty((count, SIZE, SIZE), np.uint8)
    for start in range(0, count, _BLOCK):
        rows = slice(start, start + _BLOCK)
        clean = draw(hour[rows], minute[rows], style[rows])
        noise = random.standard_normal(clean.shape, dtype=np.float32) * _column(style.noise[rows])
        images[rows] = np.clip(np.rint(clean + noise), 0, 255)
    return images, hour, minute


def clock_arrays(seed: int) -> dict[str, NDArray[Any]]:
    """The built-in example's data as an .npz would hold it: `x_train`, `y_train.hour`, `y_train.minute`, val, test.

    Each split is drawn with a seed of its own.
    """
    arrays: dict[str, NDArray[Any]] = {}
    counts = {"train": TRAIN, "val": VALIDATION, "test": TEST}
    for (part, count), child in zip(counts.items(), np.random.SeedSequence(seed).spawn(3), strict=True):
        images, hour, minute = clock_faces(count, int(child.generate_state(1)[0]))
        arrays |= {f"x_{part}": images, f"y_{part}.hour": hour, f"y_{part}.minute": minute}
    return arrays


def _hand(x: Floats, y: Floats, angle: NDArray[np.floating], stroke: tuple[Floats, Floats]) -> Floats:
    """Coverage of a hand from the centre outwards; `stroke` is its length and width."""
    length, width = stroke
    along_x, along_y = _column(np.sin(angle)), _column(-np.cos(angle))
    along = np.clip(x * along_x + y * along_y, 0, _column(length))
    return _cover(np.hypot(x - along * along_x, y - along * along_y), _column(width))


def _ticks(angle: Floats, distance: Floats, radius: Floats) -> Floats:
    """Coverage of twelve ticks inside the ring, the one at twelve o'clock longer and wider."""
    step = np.float32(np.pi / 6)
    nearest = np.rint(angle / step)
    across = np.abs(distance * np.sin(angle - nearest * step))
    twelve = nearest % 12 == 0
    inner = np.where(twelve, 0.74, 0.86) * radius
    outside = np.maximum(np.maximum(inner - distance, distance - radius), 0)
    return _cover(np.hypot(across, outside), np.where(twelve, 2.4, 1.2).astype(np.float32))


def _cover(distance: Floats, width: Floats | float) -> Floats:
    return np.clip(width / 2 + 0.5 - distance, 0, 1)


def _column(values: NDArray[np.floating]) -> Floats:
    return np.asarray(values, np.float32)[:, None, None]
