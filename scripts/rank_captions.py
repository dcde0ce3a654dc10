"""Does a prior that is told captions know which emoji a caption means? Mean rank of the true one among others.

    python scripts/rank_captions.py runs/openmoji_text
    python scripts/rank_captions.py runs/openmoji_text --codes runs/openmoji_codes    # without the images

Judged are held-out emoji whose captions are new and made of words of the training captions and tags. Each caption's own
emoji is ranked among 32 by how much likelier the caption makes it (information) and by its likelihood alone, and each
emoji's own caption among 32 captions. An interval holds the mean rank with 95 % confidence, over captions; guessing
gives 16.5.
"""

import argparse
import json
from pathlib import Path

import torch

from vqgen import Pipeline
from vqgen.conditioning import TextConditioner
from vqgen.data import CodeGrids, CodesAlone, OpenMoji, of_known_words
from vqgen.metrics import rank_captions
from vqgen.prior import MaskedPrior


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a pipeline whose prior is told captions")
    parser.add_argument("--codes", type=Path, help="codes of `vqgen tokenize` to judge by (default: render OpenMoji)")
    parser.add_argument("--candidates", type=int, default=32, help="the true one included (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the other candidates (default: %(default)s)")
    parser.add_argument("--split", choices=("train", "validation"), default="validation", help="default: %(default)s")
    parser.add_argument(
        "--most", type=int, default=500, help="captions to judge, the first so many (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()

    pipeline = Pipeline.from_pretrained(options.folder).to("cuda" if torch.cuda.is_available() else "cpu")
    conditioner = pipeline.prior.conditioner
    if not isinstance(conditioner, TextConditioner):
        parser.error(f"the prior in {options.folder} is told no captions, so there is nothing to rank by")
    source = CodesAlone(options.codes) if options.codes else OpenMoji(pipeline.image_size)
    captions, training = source.captions(options.split), source.captions("train")
    known = of_known_words(captions, training) if options.split == "validation" else list(range(len(captions)))
    known = known[: options.most]
    if options.codes:
        codes = CodeGrids(options.codes / options.split, tokenizer=pipeline.tokenizer.fingerprint()).batch(known).codes
    else:
        images = source.split(options.split).batch(known).images.to(pipeline.device)
        codes = torch.cat([pipeline.tokenizer.encode(chunk) for chunk in torch.split(images, 64)]).cpu()
    texts = [captions[index].text for index in known]
    positions = None if isinstance(pipeline.prior, MaskedPrior) else pipeline.resolve_order(None).positions

    print(f"{len(known)} captions of {len(captions)}, such as {', '.join(texts[:5])}")
    figures: dict[str, dict[str, float]] = {}
    for by in ("information", "likelihood", "caption"):
        ranking = rank_captions(
            pipeline.prior,
            codes,
            conditioner.tokens(texts),
            by=by,
            candidates=options.candidates,
            positions=positions,
            seed=options.seed,
        )
        low, high = ranking.interval()
        figures[by] = {"mean": ranking.mean, "low": low, "high": high, "chance": ranking.chance, "first": ranking.first}
        print(
            f"{by:12} mean rank {ranking.mean:5.2f} ({low:.2f} to {high:.2f}) of {options.candidates}, "
            f"chance {ranking.chance}; first {100 * ranking.first:.0f} %"
        )
    if options.out:
        options.out.write_text(json.dumps({"captions": len(known), **figures}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
