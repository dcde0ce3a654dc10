"""Draw images from a trained pipeline into one picture: `vqgen sample`, from Python.

    python scripts/sample.py runs/quickstart --n 16 --condition animals-nature --temperature 1.0 --top-k 100 \
        --out samples.png
    python scripts/sample.py runs/openmoji_text --prompt "red apple" --n 8 --guidance 3 --out apple.png

FOLDER holds `tokenizer/` and `prior/`, as the quick start and `vqgen fit` write them; `--help` lists the options. For
the images themselves, `vqgen.Pipeline.from_pretrained(FOLDER).generate(...)` is all that happens here.
"""

import sys

from vqgen.cli import main

if __name__ == "__main__":
    main(["sample", *sys.argv[1:]])
