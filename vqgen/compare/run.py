"""One run of a plan, from the first step to its result."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from pathlib import Path
from typing import Any

import torch

import vqgen
from vqgen.compare.measurement import measure_likelihood, measure_samples
from vqgen.compare.plan import Plan, Run
from vqgen.compare.preparation import code_data, quiet_lightning
from vqgen.compare.result import RUN_FILE, RunResult, write_json
from vqgen.data.code_data import CodeDataModule
from vqgen.pictures import picture_grid, save_picture
from vqgen.prior import Prior
from vqgen.runtime import processor_name
from vqgen.training import PriorModule, fit_resumably

SAMPLES_FILE = "samples.png"


def run_folder(plan: Plan, run: Run) -> Path:
    """Where a run leaves its result."""
    return plan.path / "runs" / run.folder_name


def execute(plan: Plan, run: Run) -> RunResult:
    """Train and measure one run, going on where an earlier attempt stopped; writes `result.json` and `samples.png`.

    Args:
        plan: the plan, prepared.
        run: which of its runs.

    Returns:
        The result.

    Raises:
        ValueError: if the folder holds a run that was decided by other values than the plan has now.
    """
    quiet_lightning()
    folder = run_folder(plan, run)
    data = code_data(plan, seed=run.seed)
    module = make_module(plan, run, data)
    identity = identity_of(plan, run, module, data)
    check_identity(folder, identity)

    grids = data.grids("train")
    record = fit_resumably(
        module,
        data,
        folder=folder,
        seed=run.seed,
        steps=plan.budget.steps_of(batch_size=plan.batch_size, cells=grids.grid_size[0] * grids.grid_size[1]),
        seconds=plan.budget.seconds,
        validate_every=plan.validate_every,
        validation_batches=max(1, 256 // plan.batch_size),
        checkpoint_every=plan.checkpoint_every,
        precision=plan.precision,
    )
    held_out = data.grids("validation")
    assert isinstance(module.prior, Prior)  # as made above
    found = measure_likelihood(module.prior.eval(), module.policy, held_out, count=plan.validation_images)
    if not math.isfinite(found.nats_per_code):
        raise ValueError(
            f"the training diverged: {found.nats_per_code} nats per code; lower the plan's optimization.learning_rate"
        )
    samples = measure_samples(module.pipeline, plan, held_out)
    shown = samples.images[: plan.quality.shown]
    save_picture(picture_grid(shown, columns=min(6, len(shown))), folder / SAMPLES_FILE)
    if plan.keep_models:
        module.save_pretrained(folder / "pipeline")

    fixed = module.policy.fixed
    result = RunResult(
        contender=run.contender,
        order=run.order,
        signals=run.signals,
        seed=run.seed,
        height=module.prior.height,
        width=module.prior.width,
        positions=None if fixed is None else fixed.positions.tolist(),
        nll=found.nats_per_code,
        step_nats=_rounded(found.steps),
        cell_nats=_rounded(found.cells),
        image_nats=_rounded(found.images),
        curve=[list(point) for point in record.curve],
        steps=record.steps,
        seconds=record.seconds,
        steps_per_second=record.steps_per_second,
        images_per_second=samples.images_per_second,
        quality=samples.figures,
        conditions=samples.conditions,
        identity=identity,
        environment={
            "vqgen": vqgen.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "processor": processor_name(),
            "threads": torch.get_num_threads(),
            "device": str(module.device),
        },
    )
    result.save(folder)
    (folder / "last.ckpt").unlink(missing_ok=True)
    return result


def make_module(plan: Plan, run: Run, data: CodeDataModule) -> PriorModule:
    """The untrained model of a run: the same weights under every order, given seed and signals.

    Args:
        plan: the plan.
        run: which of its runs.
        data: its codes.

    Returns:
        The module.
    """
    size = dataclasses.asdict(plan.prior)
    use_codebook = size.pop("use_codebook")

    def prior(codebook_size: int, height: int, width: int, num_classes: int) -> Prior:
        torch.manual_seed(run.seed)  # here, so that nothing drawn before it makes a difference
        return Prior(codebook_size, height, width, num_classes, signals=run.signals, **size)

    with torch.random.fork_rng(devices=[]):
        return PriorModule(
            plan.tokenizer.folder,
            prior,
            data.image_size,
            data.num_classes,
            use_codebook=use_codebook,
            order=run.order,
            order_seed=run.seed,
            optimization=plan.optimization,
            samples=0,
        )


def identity_of(plan: Plan, run: Run, module: PriorModule, data: CodeDataModule) -> dict[str, Any]:
    """Everything that decides a run's result, in JSON-able values."""
    described = plan.describe()
    same = ("budget", "prior", "optimization", "batch_size", "views", "flip", "validation_images", "precision")
    return json.loads(
        json.dumps(
            {
                **{name: described[name] for name in same},
                "quality": described["quality"],
                "order": module.policy.describe(),
                "signals": run.signals,
                "seed": run.seed,
                "tokenizer": module.tokenizer_fingerprint,
                "source": data.source.fingerprint,
            }
        )
    )


def check_identity(folder: Path, identity: dict[str, Any]) -> None:
    """Refuse to mix the results of two plans; writes `run.json` where there is none.

    Args:
        folder: of the run.
        identity: from `identity_of`.

    Raises:
        ValueError: naming what differs.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        write_json(path, identity)
        return
    recorded = json.loads(path.read_text(encoding="utf-8"))
    different = sorted(name for name in identity.keys() | recorded.keys() if identity.get(name) != recorded.get(name))
    if different:
        raise ValueError(
            f"{folder} holds a run with another {', '.join(different)} than the plan has now; "
            "give the plan another folder, or remove this one to run it anew"
        )


def _rounded(values: torch.Tensor) -> list[float]:
    return [round(value, 6) for value in values.tolist()]
