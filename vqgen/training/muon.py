"""Muon for the hidden matrices, AdamW for everything else, as one optimizer."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.optimizer import Optimizer

# Coefficients of the quintic Newton-Schulz iteration (Jordan et al. 2024, "Muon: an optimizer for hidden layers").
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)

FUSED = ("cpu", "cuda", "mps", "xpu")
"""Devices on which torch has AdamW as one kernel."""


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Nearly the closest orthogonal matrix, by Newton-Schulz iterations.

    An iteration is `X <- (a I + b G + c G^2) X` with `G = X X^T`; see `orthogonaliser`.

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
    factor = orthogonaliser(matrices, steps)
    return factor @ matrices if _is_wide(matrices) else matrices @ factor


def orthogonaliser(matrices: Tensor, steps: int = 5) -> Tensor:
    """The symmetric matrix that makes another nearly orthogonal, multiplied onto its smaller side.

    All factors of the Newton-Schulz iterations are polynomials of the first `G`, so they are multiplied together at the
    smaller side's size, and the matrix itself is touched twice only: the same result as the plain iteration, and
    several times cheaper for a convolution's wide matrix. Its Frobenius norm, by which it has to be divided first, is
    the root of the trace of `G`.

    Args:
        matrices: (..., rows, columns).
        steps: iterations, >= 1.

    Returns:
        (..., s, s) with s the smaller of rows and columns: `F X` is orthogonal if X is wide, `X F` if it is tall.

    Example:
        >>> matrix = torch.randn(16, 8)
        >>> torch.equal(matrix @ orthogonaliser(matrix), orthogonalise(matrix))
        True
    """
    a, b, c = NEWTON_SCHULZ
    transposed = matrices.mT
    gram = matrices @ transposed if _is_wide(matrices) else transposed @ matrices
    size = gram.shape[-1]
    inverse_norm = (gram.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt() + 1e-7).reciprocal()[..., None, None]
    gram = (gram * inverse_norm.square()).reshape(-1, size, size)
    factors = None
    for step in range(steps):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        factors = factor if factors is None else factor @ factors
        if step < steps - 1:
            gram = factor @ gram @ factor
    assert factors is not None
    return factors.view(*matrices.shape[:-2], size, size) * inverse_norm


def _is_wide(matrices: Tensor) -> bool:
    return matrices.shape[-2] <= matrices.shape[-1]


def _matrix(kernel: Tensor, like: Tensor) -> Tensor:
    """(o, i, H, W) to (o, columns); of a kernel laid out channels last in that order, which spares copying it.

    The order of columns makes no difference to what is orthogonal, if all that meets in a product has the same.
    """
    if like.ndim == 4 and like.is_contiguous(memory_format=torch.channels_last):
        kernel = kernel.permute(0, 2, 3, 1)
    return kernel.flatten(1)


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
            if group["muon"] and parameters:
                # Within a training step that optimizes by hand, products would be autocast.
                with torch.autocast(parameters[0].device.type, enabled=False):
                    self._muon(parameters, group)
            elif parameters:
                self._adam(parameters, group)
        return loss

    def _muon(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for p in parameters:
            alike[torch.Size((len(p), p[0].numel()))].append(p)
        keep, momentum = 1 - group["lr"] * group["weight_decay"], group["momentum"]
        for shape, members in alike.items():
            # Matrices of one shape go through the iteration together: fewer and larger products.
            directions = members[0].new_empty(len(members), *shape)
            for p, direction in zip(members, directions, strict=True):
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                assert p.grad is not None
                state["momentum"].lerp_(p.grad, 1 - momentum)
                torch.lerp(_matrix(p.grad, like=p), _matrix(state["momentum"], like=p), momentum, out=direction)
            factors = orthogonaliser(directions, group["newton_schulz_steps"])
            rate = -group["lr"] * 0.2 * max(shape) ** 0.5
            for p, direction, factor in zip(members, directions, factors, strict=True):
                pair = (factor, direction) if _is_wide(direction) else (direction, factor)
                matrix = _matrix(p, like=p)
                matrix.addmm_(*pair, beta=keep, alpha=rate)  # the last product goes into the parameter itself,
                if matrix.data_ptr() != p.data_ptr():  # unless its layout in memory is no matrix
                    p.copy_(matrix.view_as(p))

    def _adam(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for p in parameters:
            state = self.state[p]
            if not state:
                state.update(step=0, mean=torch.zeros_like(p), square=torch.zeros_like(p))
            # Checkpoints had a number there once.
            state["step"] = torch.as_tensor(state["step"], dtype=torch.float32, device=p.device)
        states = [self.state[p] for p in parameters]
        adamw(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [state["mean"] for state in states],
            [state["square"] for state in states],
            [],
            [state["step"] for state in states],
            fused=all(p.device.type in FUSED for p in parameters) or None,  # a single pass over them
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
