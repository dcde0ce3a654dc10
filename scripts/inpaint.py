"""Draw the masked part of an image anew: `vqgen inpaint`, from Python.

    python scripts/inpaint.py runs/openmoji_any_order face.png --mask mask.png --n 4 --rows --out inpainted.png

The mask is a picture of the image's size, white where to draw. FOLDER holds a pipeline whose prior was trained with
order random-per-sample; `--help` lists the options. For the images themselves,
`vqgen.Pipeline.from_pretrained(FOLDER).inpaint(images, mask)` is all that happens here.
"""

import sys

from vqgen.cli import main

if __name__ == "__main__":
    main(["inpaint", *sys.argv[1:]])
