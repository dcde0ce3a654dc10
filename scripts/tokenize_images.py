"""Encode a data set's images once and keep the codes: `vqgen tokenize`, from Python.

    python scripts/tokenize_images.py --tokenizer runs/quickstart/tokenizer --source OpenMoji --out runs/codes --views 2
    python scripts/tokenize_images.py --tokenizer runs/folder/tokenizer --out runs/codes \
        --source ImageFolder --source.root images --source.size 256

The tokenizer is a folder that the quick start or `vqgen fit` wrote; the images are named as in a config.
`vqgen.data.CodeGrids` reads OUT/train and OUT/validation, and the data module of a prior takes them as `codes: OUT`.
Training makes the codes by itself where there are none: this is for making them elsewhere or beforehand.
"""

import sys

from vqgen.cli import main

if __name__ == "__main__":
    main(["tokenize", *sys.argv[1:]])
