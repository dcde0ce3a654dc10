"""A class label, hidden at times in training so that the prior also learns to do without."""

import torch
from jaxtyping import Int
from torch import Tensor, nn

from vqgen.conditioning.base import NO_LABEL, Conditioner, Told


class LabelConditioner(Conditioner):
    """One learned start vector per class, and one more for "no label".

    In training each label is hidden with probability ``label_dropout``, so that one prior gives the conditional and the
    unconditional distribution that classifier-free guidance combines.

    Args:
        num_classes: number of classes, >= 1; labels run from 0 to num_classes - 1, and -1 means no label.
        dim: width of the start vector, d.
        label_dropout: probability in [0, 1] of hiding a label in training mode.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> import torch
        >>> conditioner = LabelConditioner(10, dim=8).eval()
        >>> told, untold = conditioner(torch.tensor([3, -1]), batch_size=2).start
        >>> bool(torch.equal(untold, conditioner(None, batch_size=1).start[0]))
        True

    Source: Ho and Salimans, Classifier-Free Diffusion Guidance (2207.12598), algorithm 1.
    """

    def __init__(self, num_classes: int, dim: int, label_dropout: float = 0.1) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(
                f"num_classes must be >= 1, got {num_classes}; use Unconditional for a prior without labels"
            )
        if not 0.0 <= label_dropout <= 1.0:
            raise ValueError(f"label_dropout must be a probability in [0, 1], got {label_dropout}")
        self.num_classes = num_classes
        self.dim = dim
        self.label_dropout = label_dropout
        self.embedding = nn.Embedding(num_classes + 1, dim)  # the last row stands for "no label"
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(
        self,
        condition: Int[Tensor, " b"] | None,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> Told:
        """Look up the start vectors, hiding some labels in training mode.

        Args:
            condition: (b,) int64 labels in [-1, num_classes), or None for no labels at all.
            batch_size: b, number of images.
            generator: draws which labels are hidden; torch's global one when None.

        Returns:
            Start vectors, (b, d).

        Raises:
            ValueError: when a label is out of range or their number is not b (the range is checked on the CPU alone;
                elsewhere looking would stall the device).
        """
        if condition is None:
            return Told(self.embedding.weight[-1].expand(batch_size, -1))
        if condition.shape[0] != batch_size:
            raise ValueError(f"expected one label per image, got {condition.shape[0]} labels for {batch_size} images")
        if condition.device.type == "cpu" and condition.numel() > 0:
            least, most = int(condition.min()), int(condition.max())
            if least < NO_LABEL or most >= self.num_classes:
                raise ValueError(
                    f"labels must be from -1 (no label) to {self.num_classes - 1}, got {least} to {most}; "
                    "pass labels of the data set the prior was trained on"
                )
        hidden = condition == NO_LABEL
        if self.training and self.label_dropout > 0.0:
            hidden = hidden | (
                torch.rand(condition.shape, device=condition.device, generator=generator) < self.label_dropout
            )
        return Told(self.embedding(torch.where(hidden, self.num_classes, condition)))
