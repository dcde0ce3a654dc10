"""Train a tokenizer or a prior: `vqgen fit`, from Python.

    python scripts/train.py --config configs/tokenizer/openmoji.yaml
    python scripts/train.py --config configs/prior/openmoji.yaml --model.init_args.order hilbert
    python scripts/train.py --config configs/prior/openmoji.yaml --ckpt_path last     # goes on where a run stopped

Any value of a config can be given on the command line: `--help` lists them, `--print_config` shows what a run would
use and stops.
"""

import sys

from vqgen.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "fit")
    main()
