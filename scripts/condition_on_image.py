"""Draw images from an image: colour a grey one, sharpen a coarse one. `vqgen sample --image`, from Python.

    python scripts/condition_on_image.py runs/openmoji_colour --image grey.png --n 4 --guidance 1.5 --out colour.png
    python scripts/condition_on_image.py runs/openmoji_superresolution --image coarse.png --n 4 --out sharp.png
    python scripts/condition_on_image.py runs/streets --label-map labels.png --n 4 --out streets.png

The image is scaled and cut to the trained size; what the prior was trained to be told of it (`grey`, say) is recorded
with it. A label map has the labels that the prior was trained on as grey levels or palette indices. `--help` lists the
options. For the images themselves, `vqgen.Pipeline.from_pretrained(FOLDER).generate(4, condition=image)` is all that
happens here, with an image (1, c, H, W) in [-1, 1].
"""

import sys

from vqgen.cli import main

if __name__ == "__main__":
    main(["sample", *sys.argv[1:]])
