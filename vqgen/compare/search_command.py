"""`vqgen orders search`: from a pipeline that takes any order to a file that configs and plans can name."""

from __future__ import annotations

from pathlib import Path

import torch

from vqgen.compare.search import Objective, improve_order, order_nats, search_order
from vqgen.data import CodeBatch, CodeGrids, ImageSource
from vqgen.data.source import Split
from vqgen.evaluation.reference import chosen
from vqgen.orders import available_orders
from vqgen.pipeline import Pipeline
from vqgen.prior import MaskedPrior


def search(
    folder: str,
    codes: str | None = None,
    images: ImageSource | None = None,
    out: str = "order.json",
    objective: Objective = "easiest",
    count: int = 256,
    swaps: int = 0,
    split: Split = "train",
    seed: int = 0,
) -> Path:
    """Find a fixed order for a data set with a prior that was trained on random orders, and write it to a file.

    Half of the images are searched on, the others tell how the order does on images it was not found with, beside the
    orders that have a name. It is the prior's opinion: to know, train a prior on the order and compare.

    Args:
        folder: the pipeline, as `vqgen fit` writes it, with order random-per-sample.
        codes: folder that `vqgen tokenize` wrote; or
        images: the images, such as OpenMoji; --images.help CLASS lists a class's options.
        out: file to write, ending in .json; its name is the order's.
        objective: which cell comes next: the easiest, the hardest, or the most informative (slow) given those before.
        count: images to take, drawn at random.
        swaps: exchanges of two cells to try afterwards, each kept if it lowers the loss.
        split: train or validation.
        seed: draws images and exchanges.

    Returns:
        The file written.
    """
    from rich.progress import Progress as Bars

    if (codes is None) == (images is None):
        raise ValueError(
            "expected either --codes FOLDER or --images SOURCE, such as --images OpenMoji --images.size 64"
        )
    if not out.endswith(".json"):
        raise ValueError(f"an order file's name must end in .json, got {out}")
    pipeline = Pipeline.from_pretrained(folder)
    if not pipeline.order.takes_any:
        raise ValueError(
            f"the prior in {folder} was trained in the order {pipeline.order.name!r} and does not take any other; "
            "train one with --model.init_args.order random-per-sample to search with"
        )
    pipeline = pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    prior = pipeline.prior
    if isinstance(prior, MaskedPrior):
        raise ValueError(
            f"the prior in {folder} is a masked one, which has no order; search with one that draws in any"
        )
    grids, labels = read_codes(pipeline, codes, images, split=split, count=count, seed=seed)
    half = len(grids) // 2
    with Bars(transient=True) as bars:
        bar = bars.add_task("cells", total=None)
        found = search_order(
            prior,
            grids[:half],
            labels[:half],
            objective=objective,
            name=Path(out).stem,
            on_step=lambda done, total: bars.update(bar, completed=done, total=total),
        )
        if swaps:
            bar = bars.add_task("swaps", total=swaps)
            found = improve_order(
                prior,
                grids[:half],
                found.order,
                labels[:half],
                proposals=swaps,
                seed=seed,
                on_step=lambda done, total: bars.update(bar, completed=done, total=total),
            )
    named = {order.fingerprint: order for order in available_orders(height=prior.height, width=prior.width).values()}
    ranked = sorted(
        (order_nats(prior, grids[half:], order, labels[half:]), order.name) for order in (*named.values(), found.order)
    )
    print(f"{found.nats:.4f} nats per code on the {half} images searched on; on the other {len(grids) - half}:")
    for nats, name in ranked:
        print(f"  {nats:.4f}  {name}{'   <- found' if name == found.order.name else ''}")
    return found.order.save(out)


def read_codes(
    pipeline: Pipeline, codes: str | None, images: ImageSource | None, *, split: Split, count: int, seed: int
) -> CodeBatch:
    """Codes and labels of images drawn at random, of a folder of codes or encoded here.

    Args:
        pipeline: whose tokenizer the codes are of.
        codes: folder with a folder for each split; or
        images: the source.
        split: which images.
        count: how many, at least 4; all if there are fewer.
        seed: draws them.

    Returns:
        The codes, in random order.

    Raises:
        ValueError: if the codes are another tokenizer's, or there are too few.
    """
    if codes is not None:
        grids = CodeGrids(Path(codes) / split, tokenizer=pipeline.tokenizer.fingerprint())
        return grids.batch(_drawn(len(grids), count, seed))
    assert images is not None
    dataset = images.split(split)
    indices = _drawn(len(dataset), count, seed)
    parts = [dataset.batch(indices[at : at + 64]) for at in range(0, len(indices), 64)]
    encoded = [pipeline.tokenizer.encode(part.images.to(pipeline.device)).cpu() for part in parts]
    return CodeBatch(torch.cat(encoded), torch.cat([part.labels for part in parts]))


def _drawn(items: int, count: int, seed: int) -> list[int]:
    if min(items, count) < 4:
        raise ValueError(f"a search needs at least 4 images, got {min(items, count)}; raise --count")
    indices = torch.tensor(chosen(items, min(items, count), seed))
    # In random order: halves of a sorted list would be different kinds of images where classes follow each other.
    return indices[torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))].tolist()
