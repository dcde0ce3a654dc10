"""When the discriminator learns, and how much of its judgement reaches the generator."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AdversarialSchedule:
    """Reconstruction only, then the discriminator learns alone, then its weight rises.

    A discriminator that has learned nothing sends noise to the generator, with the full weight that the adaptive rule
    gives it: that is what ruins reconstructions at the start. So it first learns `alone` for some steps, judging
    reconstructions that do not yet answer to it.

    Args:
        start: generator steps before the discriminator begins to learn, >= 0.
        alone: steps for which it learns without being heard, >= 0.
        ramp: steps over which the weight then rises linearly to its end, >= 0.
        weight: at the end, as a multiple of the adaptive weight, >= 0; 0.8 in VQGAN's published settings. Keep it below
            1: from there on the discriminator outpulls the reconstruction loss however bad the reconstructions get.

    Raises:
        ValueError: if a value is negative.

    Example:
        >>> schedule = AdversarialSchedule(start=10, alone=5, ramp=4, weight=0.8)
        >>> [schedule.learning(step) for step in (9, 10)]
        [False, True]
        >>> [round(schedule.weight_at(step), 2) for step in (14, 15, 16, 18, 100)]
        [0.0, 0.2, 0.4, 0.8, 0.8]
    """

    start: int = 0
    alone: int = 1000
    ramp: int = 1000
    weight: float = 0.8

    def __post_init__(self) -> None:
        if min(self.start, self.alone, self.ramp, self.weight) < 0:
            raise ValueError(
                f"start, alone, ramp and weight must be >= 0, got start={self.start}, alone={self.alone}, "
                f"ramp={self.ramp}, weight={self.weight}"
            )

    def learning(self, step: int) -> bool:
        """Whether the discriminator learns at this generator step."""
        return step >= self.start

    def weight_at(self, step: int) -> float:
        """How much of the adaptive weight applies at this generator step, in [0, weight]."""
        since = step - self.start - self.alone
        if since < 0:
            return 0.0
        return self.weight * min(1.0, (since + 1) / self.ramp) if self.ramp else self.weight
