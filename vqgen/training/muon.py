"""Muon for the hidden matrices, AdamW for everything else, as one optimizer."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

# Coefficients of the quintic Newton-Schulz iteration (Jordan et al. 2024, "Muon: an optimizer for hidden layers").
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Nearly the closest orthogonal matrix, by Newton-Schulz iterations.

    An iteration is `X <- (a I + b G + c G^2) X` with `G = X X^T`. All its factors are polynomials of the first `G`, so
    they are multiplied together at the smaller side's size, and the matrix itself is touched twice only: the same
    result as the plain iteration, and several times cheaper for a convolution's wide matrix.

    Args:
        matrices: (..., rows, columns).
        steps: iterations, >= 1; five bring all singular values near one.

    Returns:
        (..., rows, columns), `U V^T` of the singular value decomposition up to about 0.3 in each singular value.

    Example:
        >>> values = torch.linalg.svdvals(orthogonalise(torch.randn(8, 16)))
        >>> bool((values > 0.5).all() and (values < 1.5).all())
        True
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    gram = x @ x.mT
    factors = None
    for step in range(steps):
        factor = b * gram + c * (gram @ gram)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        factors = factor if factors is None else factor @ factors
        if step < steps - 1:
            gram = factor @ gram @ factor
    assert factors is not None
    x = factors @ x
    return x if wide else x.mT


class MuonAdamW(Optimizer):
    """Momentum orthogonalised by Newton-Schulz for matrices, decoupled-decay Adam for the rest.

    A group with `muon=True` holds parameters of two or more dimensions (a convolution's kernel counts as one matrix,
    output channels by everything else). Its update `lr * 0.2 * sqrt(max(rows, columns)) * orthogonalise(momentum)` has
    the root mean square of an AdamW update (Liu et al. 2025, 2502.16982, equation 4), so one learning rate serves both.

    Args:
        params: parameter groups; each may set any of the following.
        lr: learning rate.
        betas: of Adam.
        momentum: of Muon (Nesterov).
        weight_decay: decoupled.
        eps: of Adam.
        muon: whether a group is updated by Muon.
        newton_schulz_steps: of Muon; 3 take half as long as 5 and taught a small prior as well.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
        muon: bool = False,
        newton_schulz_steps: int = 5,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "eps": eps,
            "muon": muon,
            "newton_schulz_steps": newton_schulz_steps,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        Args:
            closure: reevaluates the model and returns the loss.

        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if group["muon"]:
                self._muon(parameters, group)
            elif parameters:
                self._adam(parameters, group)
        return loss

    def _muon(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for p in parameters:
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            assert p.grad is not None
            state["momentum"].lerp_(p.grad, 1 - group["momentum"])
            direction = p.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
            alike[direction.shape].append((p, direction))
        for shape, members in alike.items():
            # Matrices of one shape go through the iteration together: fewer and larger products.
            updates = orthogonalise(torch.stack([direction for _, direction in members]), group["newton_schulz_steps"])
            scale = 0.2 * max(shape) ** 0.5
            for (p, _), update in zip(members, updates, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.reshape(p.shape), alpha=-group["lr"] * scale)

    def _adam(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        grads = [p.grad for p in parameters if p.grad is not None]
        for p in parameters:
            if not self.state[p]:
                self.state[p] = {"step": 0, "mean": torch.zeros_like(p), "square": torch.zeros_like(p)}
        states = [self.state[p] for p in parameters]
        means, squares = [s["mean"] for s in states], [s["square"] for s in states]
        for s in states:
            s["step"] += 1
        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        correction1 = [1 - beta1 ** s["step"] for s in states]
        denominators = torch._foreach_div(squares, [1 - beta2 ** s["step"] for s in states])
        torch._foreach_sqrt_(denominators)
        torch._foreach_add_(denominators, group["eps"])
        torch._foreach_addcdiv_(parameters, means, denominators, [-group["lr"] / c for c in correction1])
