"""How the rows of the prior look at vectors from elsewhere: an encoded text, say."""

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.attention import Linear, Memory
from vqgen.prior.style import Style


class CrossAttention(nn.Module):
    """Attention whose keys and values come from a memory and whose queries come from the rows.

    No position turns them: what the memory says of places is in its vectors.

    Args:
        dim: width of the prior and of the memory, d.
        heads: number of heads; divides d.
        style: see `STYLES`.

    Example:
        >>> import torch
        >>> from vqgen.prior import STYLES
        >>> attention = CrossAttention(8, heads=2, style=STYLES["llama"])
        >>> attention(torch.zeros(2, 3, 8), attention.remember(torch.zeros(2, 5, 8))).shape
        torch.Size([2, 3, 8])

    Source: Vaswani et al., Attention Is All You Need (1706.03762), section 3.2.3.
    """

    def __init__(self, dim: int, heads: int, *, style: Style) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_norm = style.query_key_norm
        self.query = Linear(dim, dim, bias=style.bias)
        self.key_value = Linear(dim, 2 * dim, bias=style.bias)
        self.output = Linear(dim, dim, bias=style.bias)

    def remember(self, memory: Float[Tensor, "b s d"], mask: Bool[Tensor, "b s"] | None = None) -> Memory:
        """Make the keys and values, once for all steps of a sequence.

        Args:
            memory: (b, s, d) vectors to look at.
            mask: (b, s) which of them are there; None for all.

        Returns:
            What `forward` takes.
        """
        batch, count, dim = memory.shape
        keys, values = (
            self.key_value(memory).view(batch, count, 2, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        )
        return Memory(self._normalised(keys), values, mask)

    def forward(self, hidden: Float[Tensor, "b m d"], memory: Memory) -> Float[Tensor, "b m d"]:
        """Let each row look at the memory.

        Args:
            hidden: (b, m, d) normalised hidden states.
            memory: from `remember`, of the same batch.

        Returns:
            (b, m, d) what to add to the hidden states.
        """
        batch, count, dim = hidden.shape
        query = self.query(hidden).view(batch, count, self.heads, dim // self.heads).transpose(1, 2)
        heads = memory.attend(self._normalised(query))
        output: Tensor = self.output(heads.transpose(1, 2).reshape(batch, count, dim))
        return output

    def _normalised(self, heads: Float[Tensor, "b heads m e"]) -> Float[Tensor, "b heads m e"]:
        return F.layer_norm(heads, heads.shape[-1:], eps=1e-6) if self.query_key_norm else heads
