# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The functions that are executed: each uses CPU time in proportion to its input."""

from __future__ import annotations

from collections.abc import Callable

ROUNDS = 200_000  # of the loop, a unit of input
POINTS = 1_000_000  # of the sum, a unit of input: 8 MB at once


def ml(units: int) -> float:
    """Fit one weight by gradient descent, `units` times 200,000 steps of plain Python arithmetic.

    >>> round(ml(1), 6)
    3.0
    """
    weight, rate = 0.0, 1e-3
    for step in range(units * ROUNDS):
        x = 1.0 + (step & 7) * 0.125
        weight -= rate * (weight * x - 3.0 * x) * x
    return weight


def pi(units: int) -> float:
    """Sum the series of Leibniz, `units` million terms, with NumPy.

    >>> round(pi(1), 5)
    3.14159
    """
    import numpy as np

    total = 0.0
    for unit in range(units):
        k = np.arange(unit * POINTS, (unit + 1) * POINTS, dtype=np.float64)
        total += float(np.sum((1.0 - 2.0 * (k % 2.0)) / (2.0 * k + 1.0)))
    return 4.0 * total


FUNCTIONS: dict[str, Callable[[int], float]] = {"ml": ml, "pi": pi}
