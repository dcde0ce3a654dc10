"""A block of a few new rows on a GPU as five kernels of our own, in place of some twenty of torch's."""

from __future__ import annotations

import importlib.util
import os
import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.attention import DenseReach, LayerCache, Memory, Reach
from vqgen.prior import Block, GeluFeedForward, Rotation
from vqgen.prior.root_mean_square import EPSILON, RMSNorm
from vqgen.processor import SWITCH, switched_off

FEW_ROWS = 4
"""Up to so many rows the kernels multiply, one after the other; more are left to torch's library, which takes them at
once. From where on that is sooner was not measured."""

TILE = 8192
"""Weights that one program holds."""

WARPS = 8
"""Of 32 threads, that share a program of the products."""

EXACT = {torch.float64: "float64", torch.float32: "float32", torch.bfloat16: "float32", torch.float16: "float32"}
"""Types the kernels take, and the one that sums are taken in."""

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-2, torch.bfloat16: 0.1, torch.float16: 0.05}
"""How far a fused block may be from the block, in parts of the largest number: what rounding and TF32 bring."""


class PlacedLayerCache(LayerCache):
    """A layer's cache as a graph sees it: new rows go where ``places`` says, and all rows, filled or not, come back.

    Args:
        layer: the cache whose memory it writes.
        places: (m,) where the new rows go, one after the other.
    """

    def __init__(self, layer: LayerCache, places: Tensor) -> None:
        super().__init__(layer.keys, layer.values)
        self.places = places

    def append(
        self, keys: Float[Tensor, "b heads m e"], values: Float[Tensor, "b heads m e"]
    ) -> tuple[Float[Tensor, "b heads t e"], Float[Tensor, "b heads t e"]]:
        """Write the new rows, and give back the whole memory."""
        self.keys.index_copy_(2, self.places, keys)
        self.values.index_copy_(2, self.places, values)
        return self.keys, self.values


def fused(block: nn.Module) -> nn.Module:
    """A layer of a prior as it passes over a cache soonest: fused where that is possible, else the layer itself.

    Args:
        block: any layer of a prior, in the type and on the device it is to work.

    Returns:
        A layer that takes what that one takes.

    Example:
        >>> fused(nn.Identity())
        Identity()
    """
    return FusedBlock(block) if isinstance(block, Block) and fusion_hindrance(block) is None else block


def fusion_hindrance(block: Block) -> str | None:
    """Say why a block cannot be fused, or None where it can; its kernels are tried on it first, once for its kind.

    Args:
        block: a layer of a prior, in the type and on the device it is to work.

    Example:
        >>> from vqgen.prior import STYLES
        >>> fusion_hindrance(Block(8, heads=2, style=STYLES["gpt"], memory=True))
        'it looks at a memory'
    """
    if switched_off():
        return f"{SWITCH}=off"
    if block.cross_attention is not None:
        return "it looks at a memory"
    product: nn.Module = block.attention.query_key_value
    if not isinstance(product, nn.Linear):
        return f"its products are {type(product).__name__}'s"
    weight: Tensor = product.weight
    if weight.dtype not in EXACT:
        return f"there are no fused kernels for {weight.dtype}"
    if torch.is_autocast_enabled(weight.device.type):
        return "under autocast rows may be of another type than weights"
    if not weight.is_cuda and not _interpreted():
        return "there are no fused kernels but for GPUs"
    if importlib.util.find_spec("triton") is None:
        return "there is no Triton"
    kind = (weight.device, weight.dtype, tuple(weight.shape), block.attention.heads, type(block.feed_forward))
    if kind not in _TRIED:
        _TRIED[kind] = _failure(block)
        if _TRIED[kind] is not None:
            warnings.warn(
                f"blocks run as they are, slower: {_TRIED[kind]}; {SWITCH}=off runs them so without trying",
                stacklevel=2,
            )
    return _TRIED[kind]


_TRIED: dict[tuple[object, ...], str | None] = {}
"""What hinders each kind of block that was tried in this process."""


def _failure(block: Block) -> str | None:
    """Compare a fused block with the block itself, on a few rows of noise: Triton and GPUs come in many versions."""
    weight, width = block.attention.query_key_value.weight, block.attention.query_key_value.in_features
    noise = torch.Generator().manual_seed(0)
    heads = block.attention.heads

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=noise).to(weight)

    held = draw(2, 1, heads, 4, width // heads)
    angle = draw(1, 1, 2, 1, width // heads)
    rotation = Rotation(angle.cos(), angle.sin())
    hidden, places = draw(1, 1, width), torch.tensor([2], device=weight.device)
    reach = DenseReach(torch.arange(4, device=weight.device)[None] <= places[:, None])
    layers = block, FusedBlock(block)
    try:
        with torch.inference_mode():
            caches = [PlacedLayerCache(LayerCache(*held.clone()), places) for _ in layers]
            expected, found = (
                layer(hidden, rotation, cache, reach).double() for layer, cache in zip(layers, caches, strict=True)
            )
            error = float((found - expected).abs().max() / expected.abs().max())
    except Exception as reason:  # whatever a compiler or a driver says
        return f"the fused kernels fail here ({type(reason).__name__}: {reason})"
    if error <= TOLERANCE[weight.dtype]:
        return None
    return f"the fused kernels are off by {error:.1g} here"


class FusedBlock(nn.Module):
    """A `Block` for passes over a cache: normalise and multiply, attend, and multiply and add, a kernel each.

    In bf16 sums are fp32 from one end of a kernel to the other, so it rounds less often than the block itself.

    Args:
        block: one without a `fusion_hindrance`; passes over other caches are left to it.

    Example:
        >>> import torch
        >>> from vqgen.prior import STYLES
        >>> FusedBlock(Block(8, heads=2, style=STYLES["gpt"]))(torch.zeros(2, 3, 8), None, None).shape
        torch.Size([2, 3, 8])
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block

    def forward(
        self,
        hidden: Float[Tensor, "b m d"],
        rotation: Rotation | None,
        cache: LayerCache | None,
        reach: Reach | None = None,
        memory: Memory | None = None,
    ) -> Float[Tensor, "b m d"]:
        """Carry the newest m rows through the layer; see `Block.forward`."""
        if not isinstance(cache, PlacedLayerCache):
            output: Tensor = self.block(hidden, rotation, cache, reach, memory)
            return output
        assert isinstance(reach, DenseReach)
        assert reach.visible is not None
        attention, feed_forward = self.block.attention, self.block.feed_forward
        activation = "gelu" if isinstance(feed_forward, GeluFeedForward) else "gated"
        rows = hidden.flatten(0, 1)
        mixed = multiply(rows, attention.query_key_value, norm=self.block.attention_norm)
        heads = attend(
            mixed.view(*hidden.shape[:2], 3, attention.heads, -1),
            rotation,
            cache,
            reach.visible,
            normalised=attention.query_key_norm,
        )
        rows = multiply(heads.flatten(2).flatten(0, 1), attention.output, residual=rows)
        wide = multiply(rows, feed_forward.widen, norm=self.block.feed_forward_norm, activation=activation)
        return multiply(wide, feed_forward.narrow, residual=rows).view_as(hidden)


def multiply(
    rows: Float[Tensor, "m i"],
    linear: nn.Linear,
    *,
    norm: nn.LayerNorm | RMSNorm | None = None,
    activation: str = "",
    residual: Float[Tensor, "m o"] | None = None,
) -> Float[Tensor, "m o"]:
    """``residual + act(linear(norm(rows)))``: in one kernel for up to `FEW_ROWS` rows.

    Args:
        rows: (m, i).
        linear: i to o, or to 2 o where gated.
        norm: of the rows, or None.
        activation: ``gelu``, ``gated`` (see `vqgen.prior.feed_forward.gated`) or none.
        residual: (m, o) to add, or None.

    Returns:
        (m, o).
    """
    if len(rows) > FEW_ROWS:
        product: Tensor = linear(rows if norm is None else norm(rows))
        if activation == "gelu":
            product = F.gelu(product)
        elif activation == "gated":
            gate, value = product.chunk(2, dim=-1)
            product = F.silu(gate).mul_(value)
        return product if residual is None else product.add_(residual)
    inner = linear.in_features
    outputs = linear.out_features // (2 if activation == "gated" else 1)
    out = rows.new_empty(len(rows), outputs)
    span = _power_of_two(inner)
    block = max(TILE // span // (2 if activation == "gated" else 1), 1)
    kernels, settings = _kernels(rows)
    kernels.multiply_rows[(-(-outputs // block),)](
        rows,
        linear.weight,
        linear.bias,
        None if norm is None else norm.weight,
        norm.bias if isinstance(norm, nn.LayerNorm) else None,
        residual,
        out,
        outputs,
        COUNT=len(rows),
        INNER=inner,
        SPAN=span,
        BLOCK=block,
        NORM="" if norm is None else "layer" if isinstance(norm, nn.LayerNorm) else "rms",
        EPSILON=norm.eps if isinstance(norm, nn.LayerNorm) else EPSILON,
        ACTIVATION=activation,
        BIASED=linear.bias is not None,
        ADDED=residual is not None,
        num_warps=WARPS,
        **settings,
    )
    return out


def attend(
    mixed: Float[Tensor, "b m 3 heads e"],
    rotation: Rotation | None,
    cache: PlacedLayerCache,
    visible: Tensor,
    *,
    normalised: bool,
) -> Float[Tensor, "b m heads e"]:
    """Put keys and values of new rows into a cache, and mix what each row sees of it: one kernel.

    Args:
        mixed: (b, m, 3, heads, e) queries, keys and values, as they were multiplied.
        rotation: of queries and keys, or None.
        cache: of the layer.
        visible: (m, steps) which rows of the cache each row sees; of those not yet in it, rows of this pass alone.
        normalised: whether each head's queries and keys are normalised first.

    Returns:
        (b, m, heads, e).
    """
    batch, count, _, heads, width = mixed.shape
    out = mixed.new_empty(batch, count, heads, width)
    shared = rotation is None or rotation.cosine.shape[0] == 1
    span = _power_of_two(width)
    kernels, settings = _kernels(mixed)
    kernels.attend_rows[(heads, batch, count)](
        mixed,
        None if rotation is None else rotation.cosine,
        None if rotation is None else rotation.signed_sine,
        cache.keys,
        cache.values,
        visible,
        cache.places,
        out,
        cache.keys.shape[2],
        0 if shared else 2 * count * width,
        HEADS=heads,
        WIDTH=width,
        SPAN=span,
        COUNT=count,
        ROWS=_power_of_two(count),
        BLOCK=max(TILE // span, 1),
        NORMALISED=normalised,
        ROTATED=rotation is not None,
        num_warps=4,
        **settings,
    )
    return out


def _kernels(like: Tensor) -> tuple[Any, dict[str, Any]]:
    """The module of the kernels, and what all of them are told."""
    import triton.language as tl  # which is not everywhere

    from vqgen.sampling import fused_kernels

    overlap = like.is_cuda and torch.cuda.get_device_capability(like.device)[0] >= 9
    exact = getattr(tl, EXACT[like.dtype])
    return fused_kernels, {"EXACT": exact, "OVERLAP": overlap, **({"launch_pdl": True} if overlap else {})}


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _interpreted() -> bool:
    """Whether Triton was told to run kernels in Python, on any device: how they are tested without a GPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"
