"""Residual layers that can be run backwards, so that training keeps the activations of none of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Branch:
    """What one half of a layer adds, as a function of one stream.

    Attributes:
        run: (b, m, d) to (b, m, d), the same every time but for torch's own random numbers.
        tensors: parameters, and other tensors with a gradient, that it computes with.
    """

    run: Callable[[Tensor], Tensor]
    tensors: tuple[Tensor, ...] = ()


def run_reversibly(hidden: Float[Tensor, "b m d"], layers: Sequence[tuple[Branch, Branch]]) -> Float[Tensor, "b m d"]:
    """Carry two streams through layers of which each changes one stream by the other, and average them.

    ``y1 = x1 + f(x2)``, ``y2 = x2 + g(y1)``, from ``x1 = x2 = hidden``. From ``y1`` and ``y2`` follow
    ``x2 = y2 - g(y1)`` and ``x1 = y1 - f(x2)``: for the gradient only the last pair is kept, and the others are
    computed again on the way back, one layer at a time. Training then takes a third more arithmetic, and memory for the
    activations of one layer however many there are.

    Random numbers, as of dropout, are drawn again from the same state (5 kB a branch), and autocast is entered again.
    What comes back is as exact as the type of the streams, float32 also under autocast; a prior that is in bfloat16
    throughout would lose its way.

    Args:
        hidden: (b, m, d).
        layers: f and g of each layer.

    Returns:
        (b, m, d).

    Example:
        >>> weight = torch.tensor(2.0, requires_grad=True)
        >>> double = Branch(lambda stream: weight * stream, (weight,))
        >>> run_reversibly(torch.ones(1, 1, 1), [(double, double)]).item()  # y1 = 1 + 2 and y2 = 1 + 2 * 3
        5.0

    Source: Gomez et al., The Reversible Residual Network (1707.04585), section 3; Kitaev et al., Reformer (2001.04451),
    section 3.
    """
    tensors = [tensor for layer in layers for branch in layer for tensor in branch.tensors]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (hidden, *tensors)):
        first, second = _Reversible.apply(layers, hidden, hidden, *tensors)
    else:
        first, second = hidden, hidden
        for change_first, change_second in layers:
            first = first + change_first.run(second)
            second = second + change_second.run(first)
    mean: Tensor = (first + second) / 2
    return mean


@dataclass(frozen=True)
class _Surroundings:
    """What a branch ran in besides its input: the state of the random numbers, and autocast."""

    device: torch.device
    cpu: Tensor
    cuda: Tensor | None
    autocast: bool
    dtype: torch.dtype

    @classmethod
    def of(cls, device: torch.device) -> "_Surroundings":
        return cls(
            device,
            torch.get_rng_state(),
            torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            torch.is_autocast_enabled(device.type),
            torch.get_autocast_dtype(device.type),
        )

    def run(self, branch: Branch, stream: Tensor) -> Tensor:
        # Weights that autocast would keep at hand are without a gradient in the first run, and with one in the second.
        with torch.autocast(self.device.type, self.dtype, self.autocast, cache_enabled=False):
            return branch.run(stream)

    def run_again(self, branch: Branch, stream: Tensor) -> Tensor:
        with torch.random.fork_rng([] if self.cuda is None else [self.device]):
            torch.set_rng_state(self.cpu)
            if self.cuda is not None:
                torch.cuda.set_rng_state(self.cuda, self.device)
            return self.run(branch, stream)


class _Reversible(torch.autograd.Function):
    """The layers as one step of the graph, which keeps the last pair of streams."""

    @staticmethod
    def forward(
        ctx: Any, layers: Sequence[tuple[Branch, Branch]], first: Tensor, second: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.layers, ctx.ran = layers, []
        for change_first, change_second in layers:
            ran = []
            for branch in (change_first, change_second):
                ran.append(_Surroundings.of(first.device))
                first, second = second, first + ran[-1].run(branch, second)
            ctx.ran.append(ran)
        ctx.save_for_backward(first, second)
        return first, second

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        first, second = ctx.saved_tensors
        toward_first, toward_second = gradients
        found: list[Tensor | None] = []
        for layer, ran in zip(reversed(ctx.layers), reversed(ctx.ran), strict=True):
            for branch, surroundings in zip(reversed(layer), reversed(ran), strict=True):
                # Forwards this was (a, b) -> (b, a + branch(b)), with b = first and a + branch(b) = second.
                with torch.enable_grad():
                    stream = first.detach().requires_grad_()
                    added = surroundings.run_again(branch, stream)
                wanted = [tensor for tensor in branch.tensors if tensor.requires_grad]
                toward_stream, *toward = torch.autograd.grad(
                    added, [stream, *wanted], toward_second.to(added.dtype), allow_unused=True
                )
                each = iter(toward)
                found = [next(each) if tensor.requires_grad else None for tensor in branch.tensors] + found
                first, second = second - added.detach(), first
                if toward_stream is not None:
                    toward_first = toward_first + toward_stream
                toward_first, toward_second = toward_second, toward_first
        return None, toward_first, toward_second, *found
