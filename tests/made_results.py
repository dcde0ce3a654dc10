"""Results of runs that never ran, and a folder of them for the report."""

import json
from pathlib import Path

from PIL import Image

from vqgen.compare import RunFailure, RunResult
from vqgen.orders import scan_order


def made_result(order, seed, nll, **changes):
    """A result on a grid of 4 x 4 whose images all cost `nll`, but for a slope over the images."""
    positions = scan_order(order, height=4, width=4, seed=seed).positions.tolist()
    values = {
        "contender": order,
        "order": order,
        "signals": ["target", "rotary"],
        "seed": seed,
        "height": 4,
        "width": 4,
        "positions": positions,
        "nll": nll,
        "step_nats": [2 * nll] * 8 + [0.0] * 8,
        "cell_nats": [nll] * 16,
        "image_nats": [nll + 0.01 * index for index in (-1, 0, 1)],
        "curve": [[5, None, nll + 1], [10, nll, nll]],
        "steps": 10,
        "seconds": 1.0,
        "steps_per_second": 10.0 + seed,
        "images_per_second": 100.0,
        "quality": {"fid_lite0": 10 * nll},
        "conditions": {},
        "identity": {},
        "environment": {},
    }
    return RunResult(**{**values, **changes})


def make_report_folder(
    folder: Path, orders=("raster", "hilbert", "snake", "spiral-in", "random"), seeds=(0, 1, 2)
) -> Path:
    """Results of every order and seed but one, which failed; the later an order is named, the worse it is."""
    for rank, order in enumerate(orders):
        for seed in seeds:
            target = folder / "runs" / f"{order}-seed{seed}"
            target.mkdir(parents=True)
            if (order, seed) == (orders[-1], seeds[-1]):
                RunFailure(order, seed, "ValueError: <made> to fail", "Traceback ...").save(target)
                continue
            made_result(order, seed, 3.0 + 0.1 * rank + 0.01 * seed * (1 + rank % 2)).save(target)
            Image.new("RGB", (40, 20), (rank * 20, 100, 100)).save(target / "samples.png")
    plan = {
        "title": "Made & <b>not run</b>",
        "folder": str(folder),
        "orders": list(orders),
        "signals": [["target", "rotary"]],
        "seeds": list(seeds),
        "reference": "raster",
        "budget": {"steps": 10, "tokens": None, "seconds": None},
        "source": {"class": "vqgen.SyntheticImages", "arguments": {"count": 8}},
        "tokenizer": {"folder": "tok"},
        "prior": {"dim": 8},
        "optimization": {"learning_rate": 0.1},
        "quality": {"images": 8, "extractor": "lite0"},
        "views": 1,
        "batch_size": 4,
        "precision": "32-true",
        "validation_images": None,
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder
