"""A prior at work on one batch: its cache, the second pass of guidance, and whether its logits are sound."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.attention import packed_for_inference
from vqgen.conditioning import NO_LABEL
from vqgen.prior import Located, Prior
from vqgen.sampling.captured import CapturedPasses, capturable
from vqgen.sampling.guidance import guide

CAPTURED_ON = ("cuda",)
"""Types of device on which passes are replayed."""


class GuidedPrior:
    """Asks a prior for the logits of one batch that is being drawn, with guidance or without.

    With guidance, the sequences with their condition and the same without it run as one batch of twice the size.

    Args:
        prior: the prior; neither its mode nor its weights are changed.
        condition: (b,) int64 labels on the prior's device, or None.
        batch_size: b.
        guided: whether any scale will differ from 1.
        rows: of each pass, for one sequence: the codes it takes in, and the cells it asks about but one. They choose
            kernels, and which passes are worth recording.

    Example:
        >>> import torch
        >>> prior = Prior(16, height=2, width=3, num_classes=4, dim=8, depth=1, heads=1)
        >>> asked = GuidedPrior(prior, torch.tensor([2, 0]), batch_size=2, guided=True, rows=[6])
        >>> nothing_known = torch.empty(2, 0, dtype=torch.int64)
        >>> asked.logits(nothing_known, torch.arange(6), scale=3.0).shape
        torch.Size([2, 1, 16])
        >>> asked.check_finite()
    """

    def __init__(
        self,
        prior: Prior,
        condition: Int[Tensor, "b ..."] | None,
        *,
        batch_size: int,
        guided: bool,
        rows: Sequence[int],
    ) -> None:
        self.guided = guided
        if guided and condition is not None:  # with the condition, then without
            condition = torch.cat((condition, torch.full_like(condition, NO_LABEL)))
        self.condition = condition
        self.sequences = 2 * batch_size if guided else batch_size
        at_once = round(self.sequences * sum(rows) / len(rows))
        varying = max(rows[1:], default=1) > 1
        self.prior = prior if prior.compiled else packed_for_inference(prior, rows=at_once, varying=varying)
        self.cache = self.prior.new_cache(self.sequences)
        device = prior.code_embedding.weight.device
        if device.type in CAPTURED_ON and capturable(self.prior):
            passes = CapturedPasses(self.prior, self.cache, rows=rows, capture=device.type == "cuda")
            self.prior.__dict__["_layers"] = passes.run
        # Looked at once, at the end: looking at every step would stall the device.
        self.checksum = torch.zeros((), device=device)

    def locate(self, positions: Int[Tensor, "b n"] | Int[Tensor, " n"]) -> Located:
        """Work out a whole order once; see `Prior.locate`."""
        return self.prior.locate(self._doubled(positions), batch_size=self.sequences)

    def locate_groups(
        self, positions: Int[Tensor, "b n"] | Int[Tensor, " n"], *, groups: Sequence[int], known: int
    ) -> dict[int, Located]:
        """Work out all passes in groups at once; see `Prior.locate_groups`."""
        return self.prior.locate_groups(self._doubled(positions), groups=groups, known=known, batch_size=self.sequences)

    def logits(
        self,
        previous: Int[Tensor, "b p"],
        positions: Int[Tensor, "b n"] | Int[Tensor, " n"] | Located,
        *,
        scale: float,
        cells: Int[Tensor, "b q"] | Int[Tensor, " q"] | None = None,
    ) -> Float[Tensor, "b q k"]:
        """Take in the codes just found and predict what comes next; see `Prior.advance`.

        Args:
            previous: (b, p) int64 codes that were not taken in yet.
            positions: (n,) or (b, n) the order, or what `locate` made of it.
            scale: of guidance.
            cells: (q,) or (b, q) cells to predict; None for the next one of the order.

        Returns:
            (b, q, k) logits of the cells, q = 1 without ``cells``; float32, or float64 of a prior in that precision.
        """
        if not isinstance(positions, Located):
            positions = self._doubled(positions)
        if self.guided:
            previous = previous.repeat(2, 1)
            cells = None if cells is None else self._doubled(cells)
        logits = self.prior.advance(previous, positions, self.cache, self.condition, last_only=True, cells=cells)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self.guided:
            conditional, unconditional = logits.chunk(2)
            logits = guide(conditional, unconditional, scale)
        self.checksum = self.checksum + logits.sum()
        return logits

    def check_finite(self) -> None:
        """Refuse what was drawn from logits that are not finite.

        Raises:
            ValueError: if any were not.
        """
        if not bool(self.checksum.isfinite()):
            raise ValueError(
                "expected finite logits from the prior, got NaN or infinity; check that its training did not diverge"
            )

    def _doubled(self, tensor: Tensor) -> Tensor:
        return tensor.repeat(2, 1) if self.guided and tensor.ndim == 2 else tensor
