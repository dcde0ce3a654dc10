"""Evaluating a tokenizer: reconstruct images, and compare them with the originals one by one and as sets."""

import functools
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

import vqgen
from vqgen.data import ImageDataset, ImageSource, SequentialLoader, to_bytes, to_unit_range
from vqgen.data.source import Split
from vqgen.evaluation.record import Evaluation
from vqgen.evaluation.reference import Reference, chosen, digest
from vqgen.losses import ImageLoss
from vqgen.metrics import CodebookUsage, codebook_use, metric_name, psnr, set_distance, ssim

Progress = Callable[[int, int], None]  # called with the images done and all images


@runtime_checkable
class ImageTokenizer(Protocol):
    """What is needed of a tokenizer here."""

    @property
    def codebook_size(self) -> int:
        """Number of codes."""

    def encode(self, images: Float[Tensor, "b c H W"]) -> Int[Tensor, "b h w"]:
        """Codes of images in [-1, 1]."""

    def decode(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b c H W"]:
        """Images in [-1, 1] of codes."""

    def fingerprint(self) -> str:
        """A name that changes with the codes it gives."""


def evaluate_tokenizer(
    tokenizer: ImageTokenizer,
    source: ImageSource,
    extractor: nn.Module,
    perceptual: ImageLoss | None = None,
    *,
    split: Split = "validation",
    count: int | None = None,
    seed: int = 0,
    batch_size: int = 16,
    num_workers: int = 0,
    device: str | torch.device = "cpu",
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Reconstruct images and compare them with the originals, one by one and as sets.

    The sets are compared as 8-bit images, as they would be saved; their originals are the reference of rFID and rKID.

    Args:
        tokenizer: on `device`, in evaluation mode.
        source: the images.
        extractor: the network of FID and KID: images in [-1, 1] to features (b, d), with `num_features`; on `device`.
        perceptual: compares each reconstruction with its image as people would, such as LPIPS; on `device`.
        split: which images of the source.
        count: how many of them, drawn without repetition; None takes all, in order.
        seed: draws the images, and the subsets of KID.
        batch_size: images at a time; it decides no figure.
        num_workers: processes that read images ahead.
        device: where the tokenizer and the network are.
        cache: folder that keeps the features of originals; None is the user's cache folder.
        progress: called after every batch with the number of images done and of all.

    Returns:
        PSNR (dB), SSIM, the perceptual distance, FID and KID under the networks' names, share of codes in use,
        perplexity and dead codes; and the conditions.

    Raises:
        ValueError: if `count` is below 2 or above the number of images.
    """
    dataset = source.split(split)
    indices = chosen(len(dataset), count, seed)
    name = metric_name(extractor)
    reference = Reference(source, split, indices, extractor, cache)
    originals = reference.read()
    loader = SequentialLoader(
        functools.partial(_read, dataset, indices), items=len(indices), batch_size=batch_size, num_workers=num_workers
    )
    signal_to_noise, structure = psnr().to(device), ssim().to(device)
    usage = CodebookUsage(tokenizer.codebook_size).to(device)
    features: dict[str, list[Tensor]] = {"original": [], "reconstructed": []}
    distances = 0.0
    done = 0
    with torch.inference_mode():
        for batch in loader:
            images = batch.to(device)
            codes = tokenizer.encode(images)
            decoded = tokenizer.decode(codes)
            signal_to_noise.update(decoded, images)
            structure.update(decoded, images)
            usage.update(codes)
            if perceptual is not None:
                distances += perceptual(decoded, images).item() * len(images)
            features["reconstructed"].append(extractor(_as_saved(decoded)).float().cpu())
            if originals is None:
                features["original"].append(extractor(images).float().cpu())
            done += len(images)
            if progress is not None:
                progress(done, len(indices))
    if originals is None:
        originals = reference.write(torch.cat(features["original"]))
    distance = set_distance(originals, torch.cat(features["reconstructed"]), seed=seed)
    use = codebook_use(usage.compute())
    return Evaluation(
        figures={
            "psnr": signal_to_noise.compute().item(),
            "ssim": float(structure.compute()),  # type: ignore[arg-type]
            **({} if perceptual is None else {metric_name(perceptual): distances / done}),
            f"fid_{name}": distance.fid,
            f"kid_{name}": distance.kid,
            f"kid_{name}_deviation": distance.kid_deviation,
            "codebook_used": use.share,
            "codebook_perplexity": use.perplexity,
            "dead_codes": use.dead,
        },
        conditions={
            "tokenizer": tokenizer.fingerprint(),
            "reference": {**reference.description, "key": reference.key, "features_sha256": digest(originals)},
            "count": len(indices),
            "seed": seed,
            "kid_subsets": distance.kid_subsets,
            "kid_subset_size": distance.kid_subset_size,
            "versions": {"vqgen": vqgen.__version__, "torch": torch.__version__, "python": platform.python_version()},
        },
    )


def _read(dataset: ImageDataset, indices: Sequence[int], numbers: Sequence[int]) -> Float[Tensor, "b c H W"]:
    return dataset.batch([indices[number] for number in numbers]).images


def _as_saved(images: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
    """Images rounded to 8 bits."""
    return to_unit_range(to_bytes(images))
