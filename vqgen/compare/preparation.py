"""What all runs share: the trained tokenizer and its codes."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

from filelock import FileLock

from vqgen.checkpoint import CONFIG_FILE
from vqgen.compare.plan import Plan, TokenizerPlan
from vqgen.compare.result import write_json
from vqgen.data.code_data import CodeDataModule

PLAN_FILE = "plan.json"


def prepare(plan: Plan) -> None:
    """Train the tokenizer and compute the codes, where they are missing; one process at a time does so.

    Args:
        plan: whose tokenizer and images.

    Raises:
        FileNotFoundError: if the tokenizer is missing and the plan names no config to train it with.
    """
    plan.path.mkdir(parents=True, exist_ok=True)
    with FileLock(plan.path / "prepare.lock"):
        write_json(plan.path / PLAN_FILE, plan.describe())
        if not (Path(plan.tokenizer.folder) / CONFIG_FILE).is_file():
            train_tokenizer(plan.tokenizer)
        code_data(plan, seed=0).prepare_data()


def train_tokenizer(tokenizer: TokenizerPlan) -> None:
    """Train a tokenizer as its config says, for the plan's steps or minutes; goes on where it was stopped.

    Args:
        tokenizer: folder, config and budget.

    Raises:
        FileNotFoundError: if no config is named or it is not there.
    """
    if tokenizer.config is None or not Path(tokenizer.config).is_file():
        raise FileNotFoundError(
            f"there is no tokenizer in {tokenizer.folder}, and "
            + ("the plan names no config" if tokenizer.config is None else f"no config {tokenizer.config}")
            + " to train it with; run `vqgen fit --config configs/tokenizer/...` first, or name a config in the plan"
        )
    from vqgen.training.cli import main

    quiet_lightning()
    flags = [f"--model.init_args.folder={tokenizer.folder}", f"--trainer.default_root_dir={tokenizer.folder}-logs"]
    if tokenizer.steps is not None:
        flags += [f"--trainer.max_steps={tokenizer.steps}"]
    if tokenizer.minutes is not None:
        minutes, seconds = divmod(round(tokenizer.minutes * 60), 60)
        flags += ["--trainer.max_steps=-1", f"--trainer.max_time=00:{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--ckpt_path=last"]
    main(["fit", "--config", tokenizer.config, *flags, *quiet])


def code_data(plan: Plan, *, seed: int) -> CodeDataModule:
    """The codes of the plan's images, in the order of a seed."""
    return CodeDataModule(
        plan.tokenizer.folder,
        plan.source,
        codes=plan.codes,
        views=plan.views,
        flip=plan.flip,
        batch_size=plan.batch_size,
        seed=seed,
    )


def quiet_lightning() -> None:
    """Silence Lightning's notices, which would repeat themselves with every run."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
