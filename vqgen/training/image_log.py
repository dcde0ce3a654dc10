"""Pictures to whatever logger there is."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor

from vqgen.pictures import save_picture


def log_picture(trainer: pl.Trainer, name: str, picture: Image.Image) -> None:
    """Give a picture to every logger of a Trainer.

    Loggers that know images get them as such (Weights & Biases, TensorBoard, MLflow's and Comet's own calls); beside
    any other, a PNG is written into the logger's folder under `images/`.

    Args:
        trainer: whose loggers.
        name: such as `validation/reconstructions`.
        picture: what to show.
    """
    step = trainer.global_step
    for logger in trainer.loggers:
        experiment: Any = getattr(logger, "experiment", None)
        if hasattr(logger, "log_image"):  # Weights & Biases
            logger.log_image(key=name, images=[picture], step=step)
        elif hasattr(experiment, "add_image"):  # TensorBoard
            experiment.add_image(name, pil_to_tensor(picture), global_step=step)
        elif hasattr(experiment, "log_image") and hasattr(logger, "run_id"):  # MLflow
            experiment.log_image(logger.run_id, picture, key=name.replace("/", "-"), step=step)
        elif hasattr(experiment, "log_image"):  # Comet
            experiment.log_image(picture, name=name, step=step)
        elif logger.log_dir is not None:
            path = Path(logger.log_dir) / "images" / f"{name.replace('/', '-')}-{step:07d}.png"
            save_picture(picture, path)
