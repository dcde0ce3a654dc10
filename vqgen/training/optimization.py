"""The recipe by which a model is trained: optimizer, learning rate and its schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from vqgen.training.muon import MuonAdamW


@dataclass(frozen=True)
class Optimization:
    """Optimizer, learning rate and schedule.

    The schedule follows whichever limit of the Trainer comes first: `max_steps`, `max_epochs` or `max_time`.

    Args:
        learning_rate: its peak, > 0.
        optimizer: `adamw`; or `muon`, which updates hidden matrices and kernels by Muon and the rest by AdamW.
        newton_schulz_steps: of Muon, >= 1.
        weight_decay: decoupled, on matrices and kernels only, >= 0.
        betas: of Adam.
        warmup_steps: the rate rises linearly over so many steps.
        schedule: `cosine` down to `final_fraction` of the peak, or `constant`.
        final_fraction: of the peak, at the end of a cosine, in [0, 1].

    Raises:
        ValueError: if a value is out of range.
    """

    learning_rate: float = 1e-3
    optimizer: Literal["adamw", "muon"] = "adamw"
    newton_schulz_steps: int = 5
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    warmup_steps: int = 100
    schedule: Literal["cosine", "constant"] = "cosine"
    final_fraction: float = 0.01

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.weight_decay < 0 or self.warmup_steps < 0:
            raise ValueError(
                "learning_rate must be > 0, weight_decay and warmup_steps >= 0, got learning_rate="
                f"{self.learning_rate}, weight_decay={self.weight_decay}, warmup_steps={self.warmup_steps}"
            )
        if self.newton_schulz_steps < 1:
            raise ValueError(f"newton_schulz_steps must be >= 1, got {self.newton_schulz_steps}")
        if not 0 <= self.final_fraction <= 1:
            raise ValueError(f"final_fraction must be in [0, 1], got {self.final_fraction}")

    def build(self, model: nn.Module, edges: Collection[nn.Module], trainer: pl.Trainer) -> dict[str, Any]:
        """Make what `LightningModule.configure_optimizers` returns.

        Args:
            model: whose parameters are trained.
            edges: the layers that touch data or codes (first and last): never Muon's, whatever their shape.
            trainer: whose limits the schedule follows.

        Returns:
            Optimizer and learning-rate scheduler, stepped every step.
        """
        optimizer = MuonAdamW(
            self.parameter_groups(model, edges),
            lr=self.learning_rate,
            betas=self.betas,
            newton_schulz_steps=self.newton_schulz_steps,
        )
        scheduler = LambdaLR(optimizer, self.factor(trainer))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def parameter_groups(self, model: nn.Module, edges: Collection[nn.Module]) -> list[dict[str, Any]]:
        """Sort parameters into hidden matrices, other matrices, and the rest, which does not decay.

        Args:
            model: whose parameters are sorted.
            edges: layers whose weights are not hidden matrices.

        Returns:
            Parameter groups for `MuonAdamW`, empty ones left out.
        """
        kernels = {
            id(module.weight): module not in edges
            for module in model.modules()
            if isinstance(module, (nn.Linear, nn.Conv2d))
        }
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        hidden = [p for p in parameters if kernels.get(id(p), False)]
        edge = [p for p in parameters if not kernels.get(id(p), True)]
        rest = [p for p in parameters if id(p) not in kernels]
        groups = [
            {"params": hidden, "muon": self.optimizer == "muon", "weight_decay": self.weight_decay},
            {"params": edge, "weight_decay": self.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def factor(self, trainer: pl.Trainer) -> Callable[[int], float]:
        """The learning rate as a fraction of its peak, as a function of the step.

        Args:
            trainer: whose limits the schedule follows.

        Returns:
            A function for `LambdaLR`.
        """

        def at(step: int) -> float:
            warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
            if self.schedule == "constant":
                return warmup
            cosine = 0.5 * (1 + math.cos(math.pi * progress(trainer, step)))
            return warmup * (self.final_fraction + (1 - self.final_fraction) * cosine)

        return at


def progress(trainer: pl.Trainer, step: int) -> float:
    """How much of training is done, in [0, 1]: the largest share among the Trainer's limits on steps, epochs and time.

    Args:
        trainer: with its limits.
        step: optimizer steps done.

    Returns:
        The share; 0 where nothing limits the training.
    """
    shares = [0.0]
    if trainer.max_steps is not None and trainer.max_steps > 0:
        shares.append(step / trainer.max_steps)
    if trainer.max_epochs is not None and trainer.max_epochs > 0 and math.isfinite(trainer.num_training_batches):
        # With two optimizers the module counts the batches to a step, in place of the Trainer.
        batches_to_a_step = getattr(trainer.lightning_module, "accumulate", trainer.accumulate_grad_batches)
        steps_per_epoch = math.ceil(trainer.num_training_batches / batches_to_a_step)
        shares.append(step / max(1, steps_per_epoch * trainer.max_epochs))
    for timer in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(timer, Timer) and (left := timer.time_remaining("train")) is not None:
            elapsed = timer.time_elapsed("train")
            shares.append(elapsed / max(elapsed + left, 1e-9))
    return min(1.0, max(shares))
