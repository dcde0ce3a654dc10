"""How long a plan will take, from a few steps on made codes or from the runs that are done."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch
import yaml  # type: ignore[import-untyped]
from jsonargparse import ArgumentParser
from torch.nn import functional as F

from vqgen.checkpoint import CONFIG_FILE
from vqgen.compare.plan import Plan
from vqgen.compare.result import read_result
from vqgen.compare.run import run_folder
from vqgen.orders import order_policy
from vqgen.prior import Prior
from vqgen.sampling import sample_autoregressive
from vqgen.tokenizer import Tokenizer
from vqgen.training import MuonAdamW

STEPS_TIMED = 4
FEATURE_SECONDS = 0.03  # of lite0 an image on two slow cores; it is not tried, as its weights may not be there


def estimate_seconds(plan: Plan) -> float:
    """Seconds that one run takes on this machine, in one process with all threads.

    Args:
        plan: the plan; its tokenizer is built from its config where it is not trained yet, for its sizes.

    Returns:
        The mean of the finished runs, or training, likelihood and samples as a few steps on made codes foretell them.

    Raises:
        FileNotFoundError: if there is neither a tokenizer nor a config.
        ValueError: if the config does not describe a tokenizer.
    """
    done = [found.seconds for run in plan.runs() if (found := read_result(run_folder(plan, run))) is not None]
    tokenizer = _tokenizer(plan)
    height, width = tokenizer.grid_size(plan.source.image_size)
    step, image, scored = _timings(plan, tokenizer.codebook_size, height, width)
    steps = plan.budget.steps_of(batch_size=plan.batch_size, cells=height * width)
    if done:
        training = statistics.fmean(done)
    elif plan.budget.seconds is not None:
        training = plan.budget.seconds
    else:
        assert steps is not None
        training = step * steps
    # On the way, at each point of the curve, about 256 images are scored; at the end all.
    validations = 256 * (steps or 0) / plan.validate_every + (plan.validation_images or 2000)
    samples = plan.quality.images if plan.quality.extractor else plan.quality.shown
    looking = FEATURE_SECONDS * samples if plan.quality.extractor else 0.0
    return training + scored * validations + image * samples + looking


def _timings(plan: Plan, codebook_size: int, height: int, width: int) -> tuple[float, float, float]:
    """Seconds for a training step, for drawing an image, for scoring an image."""
    size: dict[str, Any] = {name: getattr(plan.prior, name) for name in ("dim", "depth", "heads", "style", "dropout")}
    prior = Prior(codebook_size, height, width, signals=plan.signals[0], **size)
    policy = order_policy(plan.reference, height=height, width=width)
    optimizer = MuonAdamW(
        [{"params": list(prior.blocks.parameters()), "muon": False}, {"params": list(prior.head.parameters())}]
    )
    sequence = torch.randint(codebook_size, (plan.batch_size, height * width))
    positions = policy.positions(plan.batch_size)
    bf16 = plan.precision.startswith("bf16")

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = prior(sequence, positions)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), sequence.flatten())
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()

    def score() -> None:
        with torch.inference_mode():
            prior.eval()(sequence, positions)

    drawn = min(plan.quality.batch_size, 32)
    training = _seconds(step)
    scoring = _seconds(score) / plan.batch_size
    drawing = _seconds(lambda: sample_autoregressive(prior, positions[0], batch_size=drawn), times=1) / drawn
    return training, drawing, scoring


def _seconds(action: Any, times: int = STEPS_TIMED) -> float:
    action()  # the first one warms up
    start = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - start) / times


def _tokenizer(plan: Plan) -> Tokenizer:
    folder, config = Path(plan.tokenizer.folder), plan.tokenizer.config
    if (folder / CONFIG_FILE).is_file():
        return Tokenizer.from_pretrained(folder)
    if config is None or not Path(config).is_file():
        raise FileNotFoundError(f"there is neither a tokenizer in {folder} nor a config to train it with ({config})")
    described = yaml.safe_load(Path(config).read_text(encoding="utf-8"))["model"]["init_args"]["tokenizer"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Tokenizer, "tokenizer")
    built = parser.instantiate(parser.parse_object({"tokenizer": described})).tokenizer
    assert isinstance(built, Tokenizer)
    return built
