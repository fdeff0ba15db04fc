"""The limited-memory BFGS method: a smooth function of many numbers is made small."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Smooth = Callable[[Floats], tuple[float, Floats]]
"""Of numbers (n,) a value and its gradient (n,)."""

MEMORY = 12
"""Steps that are remembered: what they tell of the curvature."""

ENOUGH = 1e-4
"""A step is taken if the value falls by this share of what the slope promises (Armijo)."""

HALVINGS = 12
"""How often a step is shortened at most."""


def minimised(smooth: Smooth, start: Floats, most: int, tolerance: float) -> Floats:
    """Go downhill by L-BFGS (Nocedal and Wright 2006, algorithm 7.5), shortening steps until the value falls.

    Args:
        smooth: the function and its gradient.
        start: where to begin, (n,).
        most: how often the function is evaluated at most.
        tolerance: it ends when five steps together lower the value by less than this share of it.

    Returns:
        The best point, (n,).
    """
    point, (value, slope) = start, smooth(start)
    moves: list[tuple[Floats, Floats]] = []
    values, calls = [value], 1
    while calls < most and value > 0:
        direction = -_newton(slope, moves)
        if not (fall := float(slope @ direction)) < 0:
            break
        length = 1.0
        for _ in range(HALVINGS):
            there = point + length * direction
            found, ahead = smooth(there)
            calls += 1
            if found <= value + ENOUGH * length * fall or calls >= most:
                break
            # The lowest point of the parabola through what is known, inside bounds.
            length *= min(0.5, max(0.1, -0.5 * length * fall / (found - value - length * fall)))
        if not found < value:
            break
        step, turn = there - point, ahead - slope
        if step @ turn > 1e-10 * np.linalg.norm(step) * np.linalg.norm(turn):
            moves = [*moves, (step, turn)][-MEMORY:]
        point, value, slope = there, found, ahead
        values.append(value)
        if len(values) > 5 and values[-6] - value < tolerance * value:
            break
    return point


def _newton(slope: Floats, moves: list[tuple[Floats, Floats]]) -> Floats:
    """The inverse of the Hessian, as far as the moves tell it, times the gradient; the two-loop recursion."""
    shares, ahead = [], slope
    for step, turn in reversed(moves):
        shares.append(step @ ahead / (step @ turn))
        ahead = ahead - shares[-1] * turn
    if moves:
        step, turn = moves[-1]
        ahead = ahead * (step @ turn / (turn @ turn))
    else:
        ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-30) * START
    for (step, turn), share in zip(moves, reversed(shares), strict=True):
        ahead = ahead + (share - turn @ ahead / (step @ turn)) * step
    return ahead


START = 0.1
"""How far the first step goes: nothing is known of the curvature yet."""
