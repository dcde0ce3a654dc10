"""`vqgen fit | validate | test | predict`: LightningCLI with vqgen's defaults."""

from __future__ import annotations

import logging
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jsonargparse import set_parsing_settings
from pytorch_lightning.callbacks import RichProgressBar, TQDMProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.utilities.exceptions import SIGTERMException

from vqgen.training.seed_each_step import SeedEachStep


class VqgenCLI(LightningCLI):
    """LightningCLI whose models and data are named by `class_path`, with the values that one gives the other linked."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link what the data decides, and seed each step."""
        parser.add_lightning_class_args(SeedEachStep, "seed_each_step")
        parser.link_arguments("seed_everything", "seed_each_step.seed", compute_fn=lambda seed: int(seed or 0))
        for name in ("image_size", "num_classes"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        for name in ("vocabulary", "condition_shape", "condition_tokenizer"):
            parser.link_arguments(
                "data",
                f"model.init_args.{name}",
                compute_fn=partial(_given_by, name),
                apply_on="instantiate",
            )

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The Trainer that the config describes, its own progress bar drawn seldom."""
        return draw_seldom(super().instantiate_trainer(**kwargs))

    def after_fit(self) -> None:
        """Write the portable folder."""
        folder = getattr(self.model, "folder", None)
        if folder is not None and self.trainer.is_global_zero:
            self.model.save_pretrained(folder)
            logging.getLogger("pytorch_lightning").info("Wrote %s", Path(folder))


def draw_seldom(trainer: pl.Trainer) -> pl.Trainer:
    """Let Lightning's own progress bar read the metrics only at steps at which they are logged.

    It reads them after every batch otherwise, which waits until a GPU has done all that it was given, and draws anew.

    Args:
        trainer: changed in place; left alone if it has no bar, or one whose rate was chosen.

    Returns:
        The Trainer.
    """
    bar = trainer.progress_bar_callback
    by_itself = (type(bar) is RichProgressBar and bar.refresh_rate == RichProgressBar().refresh_rate) or (
        type(bar) is TQDMProgressBar and bar.refresh_rate == TQDMProgressBar().refresh_rate
    )
    if by_itself:
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        rate = max(1, int(trainer.log_every_n_steps))  # type: ignore[attr-defined]
        callbacks[callbacks.index(bar)] = TQDMProgressBar(refresh_rate=rate)  # type: ignore[arg-type]
    return trainer


def _given_by(name: str, data: pl.LightningDataModule) -> Any:
    return getattr(data, name, None)


class SaveConfigAnew(SaveConfigCallback):
    """Saves the full config beside the logs, over that of an earlier run in the same folder."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "overwrite": True})


def main(arguments: list[str] | None = None) -> None:
    """Run LightningCLI.

    Args:
        arguments: what follows the program's name; None takes the command line's.

    Raises:
        SystemExit: with 143, if the process was told to stop by SIGTERM.
    """
    # Configs build on each other by interpolation; `omegaconf+` resolves it after all files are merged.
    set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
    try:
        VqgenCLI(
            pl.LightningModule,
            pl.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveConfigAnew,
            seed_everything_default=0,
            parser_kwargs={
                "parser_mode": "omegaconf+",
                "description": "Train, validate, test and predict: vqgen fit --config configs/tokenizer/openmoji.yaml",
            },
            args=arguments,
        )
    except SIGTERMException:  # a SystemExit with status 0, which a job scheduler would take for success
        print("vqgen: stopped by SIGTERM; add --ckpt_path last to go on from the last checkpoint", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)
