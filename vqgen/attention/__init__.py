"""Attention between the steps of a sequence: dense reference, cache, and kernels for a few rows."""

from vqgen.attention.alternation import attention_of, check_attentions
from vqgen.attention.base import Attention, BidirectionalAttention, DenseAttention, DenseReach, Places, Reach
from vqgen.attention.cache import KVCache, LayerCache
from vqgen.attention.dense import dense_causal_attention
from vqgen.attention.group import visible_to_group
from vqgen.attention.linear import LINEAR_KERNELS, PackedLinear, fastest_linear_kernel, packed_for_inference
from vqgen.attention.lsh import attend_in_buckets, lsh_buckets, random_rotations, visible_in_buckets
from vqgen.attention.lsh_attention import LSHAttention, LSHReach
from vqgen.attention.memory import Memory

__all__ = [
    "LINEAR_KERNELS",
    "Attention",
    "BidirectionalAttention",
    "DenseAttention",
    "DenseReach",
    "KVCache",
    "LSHAttention",
    "LSHReach",
    "LayerCache",
    "Memory",
    "PackedLinear",
    "Places",
    "Reach",
    "attend_in_buckets",
    "attention_of",
    "check_attentions",
    "dense_causal_attention",
    "fastest_linear_kernel",
    "lsh_buckets",
    "packed_for_inference",
    "random_rotations",
    "visible_in_buckets",
    "visible_to_group",
]
