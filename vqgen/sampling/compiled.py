"""A prior whose sampling step is compiled: slow to start, faster for one sequence at a time."""

import functools
import inspect
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.attention import (
    GEMV_ROWS,
    DenseAttention,
    Int8Linear,
    KVCache,
    fastest_linear_kernel,
    packed_for_inference,
)
from vqgen.conditioning import Told
from vqgen.prior import Located, Prior

PRODUCTS: dict[str, Any] = {
    "max_autotune": True,  # kernels of products that are measured to be fastest here
    "max_autotune_gemm_backends": "CPP,TRITON,ATEN",
    "max_autotune_report_choices_stats": False,
}
"""For products in fp32 and bf16 through torch. Not for 8-bit ones: the compiler's own kernels made steps slower. Nor
where weights are constants: for each of them it would try kernels that never were faster."""

OPTIONS: dict[str, Any] = {
    "cpp_wrapper": True,  # one call from Python a step in place of a hundred
}

IN_ONE_PIECE: dict[str, Any] = {
    # The copy is frozen and its own, so there is no need to look at every step whether its layers are still the same.
    "guard_filter_fn": torch.compiler.skip_guard_on_all_nn_modules_unsafe,
}
"""For a step that is compiled as a whole: pieces that two layers share must look whose weights they are to take."""

LIMITS: dict[str, Any] = {"recompile_limit": 64, "isolate_recompiles": True}
"""Arguments of ``torch.compile`` in the versions that have them."""


def compile_for_sampling(prior: Prior) -> Prior:
    """Copy a prior so that the passes of sampling run as compiled kernels (``torch.compile``).

    The first sequences of a batch size wait for the compiler, a minute or more; what is drawn is the same up to
    rounding. It pays for one sequence at a time, most of all in int8 (see `in_precision`), where the small operations
    between the products take most of a plain step; for eight in fp32 the plain step was as fast or faster where it was
    measured, and is taken where kernels of our own serve no more than four.
    Weights are frozen into the kernels: training the prior further does not reach the copy.

    Args:
        prior: in the precision and on the device it will sample on.

    Returns:
        The copy, in evaluation mode, for `sample_autoregressive` and `Pipeline`. It shares the parameters.

    Raises:
        FileNotFoundError: when the prior is on the CPU and there is no C++ compiler.

    Example:
        >>> prior = Prior(16, height=2, width=3, dim=8, depth=1, heads=1)
        >>> fast = compile_for_sampling(prior)  # nothing is compiled before the first draw
        >>> fast.compiled, prior.compiled
        (True, False)
    """
    on_cpu = prior.code_embedding.weight.device.type == "cpu"
    if on_cpu and not any(map(shutil.which, ("g++", "clang++", "c++", "cl"))):
        raise FileNotFoundError(
            "compiling for the CPU needs a C++ compiler, and none was found; install g++ or clang, or sample without"
        )
    in_integers = any(isinstance(layer, Int8Linear) for layer in prior.modules())
    dtype = torch.int8 if in_integers else prior.code_embedding.weight.dtype
    by_gemv = on_cpu and fastest_linear_kernel(1, dtype) == "gemv"
    frozen = packed_for_inference(prior, rows=1, kernel="gemv" if by_gemv else "plain")
    in_one_piece = _is_plain(frozen)
    constant = by_gemv and in_one_piece  # torch's own products were not measured so
    # Every batch size takes a few compilations; torch gives up after eight, counted over all priors, unless told more.
    known = inspect.signature(torch.compile).parameters
    limits = {name: value for name, value in LIMITS.items() if name in known}
    options = OPTIONS | ({} if in_integers or constant else PRODUCTS) | (IN_ONE_PIECE if in_one_piece else {})

    def compiling(step: Callable[..., Tensor], dynamic: bool | None = None) -> Callable[..., Tensor]:
        # A copy of the options, as torch takes some out of what it is given.
        compiled: Callable[..., Tensor] = torch.compile(
            step, options=dict(options), fullgraph=in_one_piece, dynamic=dynamic, **limits
        )
        return compiled

    freezing = _freezing(frozen) if constant else nullcontext
    predict, answer = frozen._predict, frozen._answer
    compiled_predict = compiling(predict)
    # Groups come in many sizes, for which a few compilations do. Elsewhere what they see is worked out at each pass.
    in_passes = in_one_piece and frozen.rows.per_step == 1
    compiled_answer = compiling(answer, dynamic=True) if in_passes else answer
    # One code at a time for more sequences than our kernels take is sooner drawn by plain steps with packed weights.
    most = GEMV_ROWS[dtype] if by_gemv and not in_integers else None
    packed = functools.lru_cache(maxsize=1)(functools.partial(packed_for_inference, prior))

    def predict_step(
        hidden: Float[Tensor, "b m d"],
        located: Located,
        cache: KVCache | None,
        last_only: bool,
        told: Told | None = None,
    ) -> Float[Tensor, "b _ k"]:
        if most is not None and hidden.shape[0] > most and hidden.shape[1] == 1:
            return packed(rows=hidden.shape[0])._predict(hidden, located, cache, last_only, told)
        # The compiler would make kernels of their own for prefixes of every length, and for caches of 0 and 1 steps.
        usual = hidden.shape[1] == 1 and cache is not None and cache.length > 1
        with freezing():
            logits: Tensor = (compiled_predict if usual else predict)(hidden, located, cache, last_only, told)
        return logits

    def answer_group(
        hidden: Float[Tensor, "b p d"], located: Located, cache: KVCache, told: Told | None
    ) -> Float[Tensor, "b q k"]:
        usual = hidden.shape[1] > 1 and cache.length > 1
        with freezing():
            logits: Tensor = (compiled_answer if usual else answer)(hidden, located, cache, told)
        return logits

    frozen.__dict__.update(_predict=predict_step, _answer=answer_group, compiled=True)
    return frozen


def _freezing(prior: Prior) -> Callable[[], AbstractContextManager[object]]:
    """Let a step hold its weights as constants in place of some 200 arguments that every call hands over.

    As an option of ``torch.compile`` freezing comes too late: what becomes a constant is settled before options count.
    And sizes of constants are to stay as they are, also where priors of other sizes were compiled before.

    Args:
        prior: whose steps are one piece each; elsewhere layers share pieces.

    Returns:
        What makes the context to call the compiled step in.
    """
    for module in prior.modules():
        for found in vars(module).values():
            if isinstance(found, Tensor) and found.ndim:
                torch._dynamo.mark_static(found)
    return functools.partial(torch._inductor.config.patch, freezing=True)


def _is_plain(prior: Prior) -> bool:
    """Whether the compiler is known to see through a step of it."""
    dense = all(type(attention) is DenseAttention for attention in prior.attentions)
    return dense and not prior.conditioner.memory_rows and not prior.conditioner.prefix_rows
