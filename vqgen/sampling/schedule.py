"""How many cells to draw at each step of group decoding."""

import math
from collections.abc import Callable

Schedule = Callable[[float], float]
"""From the share of steps done, in (0, 1], to the share of cells known after them; 1 goes to 1."""


def _cosine(progress: float) -> float:
    return 1.0 - math.cos(math.pi / 2.0 * progress)


def _linear(progress: float) -> float:
    return progress


GROUP_SCHEDULES: dict[str, Schedule] = {"cosine": _cosine, "linear": _linear}
"""Schedules by name."""


def group_sizes(cells: int, steps: int, schedule: str | Schedule = "cosine") -> tuple[int, ...]:
    """Spread cells over steps, at least one a step.

    After step t of T, ``ceil(cells * schedule((t + 1) / T))`` cells are known, or one more than before if that is more,
    and never so many that a later step has none.

    Args:
        cells: number of cells to draw, >= 1.
        steps: T, from 1 to the number of cells.
        schedule: ``cosine`` (1 - cos(pi p / 2)) draws few cells at first, when little is known and much is decided,
            and many at the end; ``linear`` (p) draws as many at every step; or a function of your own from the share of
            steps done, in (0, 1], to the share of cells known.

    Returns:
        T sizes that sum to ``cells``, for `sample_groups`.

    Raises:
        ValueError: when the numbers or the schedule make no sense.

    Example:
        >>> group_sizes(16, 4), group_sizes(16, 4, "linear"), group_sizes(4, 4)
        ((2, 3, 5, 6), (4, 4, 4, 4), (1, 1, 1, 1))

    Source: Chang et al., MaskGIT (2202.04200), section 3.3, which has the cosine; Pang et al., RandAR (2412.01827),
    which decodes a random-order model with it.
    """
    if cells < 1:
        raise ValueError(f"cells must be >= 1, got {cells}; there is nothing to draw")
    if not 1 <= steps <= cells:
        raise ValueError(f"steps must be from 1 to the number of cells to draw, {cells}, got {steps}")
    if isinstance(schedule, str):
        if schedule not in GROUP_SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(GROUP_SCHEDULES)} or a function, got {schedule!r}")
        schedule = GROUP_SCHEDULES[schedule]
    known, sizes = 0, []
    for step in range(steps):
        share = schedule((step + 1) / steps)
        if not 0.0 <= share <= 1.0:
            raise ValueError(
                f"schedule must give shares from 0 to 1, got {share} at {(step + 1) / steps:g} of the steps"
            )
        least, most = known + 1, cells - (steps - 1 - step)
        wanted = math.ceil(cells * share - 1e-9)  # 42 * (9 / 14) is a little more than 27
        then = cells if step == steps - 1 else min(max(wanted, least), most)
        sizes.append(then - known)
        known = then
    return tuple(sizes)
