"""Attention between the steps of a sequence: dense reference, cache, and kernels for a few rows."""

from vqgen.attention.alternation import attention_of, check_attentions
from vqgen.attention.base import Attention, BidirectionalAttention, DenseAttention, DenseReach, Places, Reach
from vqgen.attention.cache import KVCache, LayerCache
from vqgen.attention.dense import dense_causal_attention
from vqgen.attention.gemv import GEMV_ROWS, GemvAttention, GemvInt8Linear, GemvLinear, gemv_hindrance, gemv_is_faster
from vqgen.attention.group import visible_to_group
from vqgen.attention.int8 import Int8Linear, int8_hindrance
from vqgen.attention.kernel import KERNELS, choose_kernel
from vqgen.attention.linear import (
    LINEAR_KERNELS,
    PackedLinear,
    fastest_linear_kernel,
    packed_for_inference,
    with_layers,
)
from vqgen.attention.lsh import attend_in_buckets, lsh_buckets, random_rotations, visible_in_buckets
from vqgen.attention.lsh_attention import LSHAttention, LSHReach
from vqgen.attention.memory import Memory
from vqgen.attention.pattern import Pattern
from vqgen.attention.patterns import (
    BigBird,
    BigBird1D,
    ColumnAttention,
    Convolution,
    Either,
    Fixed,
    Fixed1D,
    Local1D,
    Local2D,
    RowAttention,
    Strided,
    Strided1D,
)
from vqgen.attention.predicate import Part, Predicate
from vqgen.attention.product import Linear
from vqgen.attention.segment import SegmentAttention, SegmentReach, present
from vqgen.attention.segment_cache import SegmentLayerCache

__all__ = [
    "GEMV_ROWS",
    "KERNELS",
    "LINEAR_KERNELS",
    "Attention",
    "BidirectionalAttention",
    "BigBird",
    "BigBird1D",
    "ColumnAttention",
    "Convolution",
    "DenseAttention",
    "DenseReach",
    "Either",
    "Fixed",
    "Fixed1D",
    "GemvAttention",
    "GemvInt8Linear",
    "GemvLinear",
    "Int8Linear",
    "KVCache",
    "LSHAttention",
    "LSHReach",
    "LayerCache",
    "Linear",
    "Local1D",
    "Local2D",
    "Memory",
    "PackedLinear",
    "Part",
    "Pattern",
    "Places",
    "Predicate",
    "Reach",
    "RowAttention",
    "SegmentAttention",
    "SegmentLayerCache",
    "SegmentReach",
    "Strided",
    "Strided1D",
    "attend_in_buckets",
    "attention_of",
    "check_attentions",
    "choose_kernel",
    "dense_causal_attention",
    "fastest_linear_kernel",
    "gemv_hindrance",
    "gemv_is_faster",
    "int8_hindrance",
    "lsh_buckets",
    "packed_for_inference",
    "present",
    "random_rotations",
    "visible_in_buckets",
    "visible_to_group",
    "with_layers",
]
