"""Keys and values that every step of a sequence looks at besides those before it."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Memory:
    """What one layer reads of vectors from elsewhere, such as an encoded text: the same at every step, made once.

    Attributes:
        keys: (b, heads, s, e).
        values: (b, heads, s, e).
        mask: (b, s) which of them may be looked at, at least one per image; None for all.

    Example:
        >>> import torch
        >>> memory = Memory(torch.zeros(2, 1, 3, 4), torch.ones(2, 1, 3, 4))
        >>> memory.attend(torch.zeros(2, 1, 5, 4)).unique()
        tensor([1.])

    Source: Vaswani et al., Attention Is All You Need (1706.03762), section 3.2.3, "encoder-decoder attention".
    """

    keys: Float[Tensor, "b heads s e"]
    values: Float[Tensor, "b heads s e"]
    mask: Bool[Tensor, "b s"] | None = None

    def attend(self, query: Float[Tensor, "b heads m e"]) -> Float[Tensor, "b heads m e"]:
        """Mix the values for each query.

        Args:
            query: (b, heads, m, e).

        Returns:
            (b, heads, m, e) one mixture of values per query.

        Raises:
            ValueError: when the batch is not that of the memory.
        """
        if query.shape[0] != self.keys.shape[0]:
            raise ValueError(
                f"this memory is of a batch of {self.keys.shape[0]}, got queries of {query.shape[0]}; "
                "make it anew from this batch's condition"
            )
        mask = None if self.mask is None else self.mask[:, None, None]  # (b, s) -> (b, 1, 1, s), for heads and queries
        return F.scaled_dot_product_attention(query, self.keys.to(query.dtype), self.values.to(query.dtype), mask)
