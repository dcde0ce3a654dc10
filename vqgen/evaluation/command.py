"""`vqgen evaluate tokenizer`."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from vqgen.data import ImageSource
from vqgen.data.source import Split


def tokenizer(
    folder: str,
    data: ImageSource | None = None,
    extractor: str = "lite0",
    perceptual: Literal["lite0", "lpips", "none"] = "lite0",
    split: Split = "validation",
    count: int | None = None,
    seed: int = 0,
    batch_size: int = 16,
    num_workers: int = 0,
    out: str | None = None,
) -> Path:
    """Reconstruct held-out images; write PSNR, SSIM, a perceptual distance, FID, KID and codebook use.

    The file, in JSON, also says what the figures refer to: images, cut, network, number, seed. The features of the
    originals are kept in the cache.

    Args:
        folder: the trained tokenizer.
        data: the images, such as OpenMoji or vqgen.data.ImageFolder; --data.help CLASS lists a class's options.
        extractor: network of FID and KID: lite0 (offline), inception (published FIDs; downloaded), or the import path
            of a module class.
        perceptual: distance of each reconstruction from its image: lite0 (offline), lpips (downloaded), or none.
        split: train or validation.
        count: how many images, drawn at random; all when left out.
        seed: draws the images, and the subsets of KID.
        batch_size: images at a time.
        num_workers: processes that read images ahead; worth while for image files.
        out: JSON file to write; FOLDER/evaluation.json when left out.

    Returns:
        The file written.
    """
    from rich.progress import Progress as Bars

    from vqgen.evaluation.tokenizer import evaluate_tokenizer
    from vqgen.losses import LPIPS, ImageLoss, Lite0Distance
    from vqgen.metrics import feature_extractor
    from vqgen.tokenizer import Tokenizer

    if data is None:
        raise ValueError("expected images to reconstruct, got none; name them with --data, such as --data OpenMoji")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Tokenizer.from_pretrained(folder).to(device)
    network = feature_extractor(extractor).to(device).to(memory_format=torch.channels_last)
    judges: dict[str, Callable[[], ImageLoss]] = {"lite0": Lite0Distance, "lpips": LPIPS}
    judge = None if perceptual == "none" else judges[perceptual]().to(device).to(memory_format=torch.channels_last)
    with Bars(transient=True) as bars:
        bar = bars.add_task(split, total=None)
        evaluation = evaluate_tokenizer(
            model,
            data,
            network,
            judge,
            split=split,
            count=count,
            seed=seed,
            batch_size=batch_size,
            num_workers=num_workers,
            device=device,
            progress=lambda done, total: bars.update(bar, completed=done, total=total),
        )
    print(evaluation)
    images, width = evaluation.conditions["count"], int(network.num_features)  # type: ignore[arg-type]
    if images < width:
        print(f"{images} images are fewer than the network's {width} features: FIDs compare at this number only")
    return evaluation.save(out if out is not None else Path(folder) / "evaluation.json")
