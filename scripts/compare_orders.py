"""Compare scan orders as a plan says: `vqgen compare plan`, `run` and `report` one after the other, from Python.

    python scripts/compare_orders.py configs/compare/fashion_mnist.yaml --jobs 2
    python scripts/compare_orders.py configs/compare/openmoji.yaml --set budget.steps=200 --set folder=runs/short

A call that was stopped goes on where it was. Runs that fail are named in the report and do not stop the others.
"""

import argparse
from pathlib import Path

from vqgen.cli import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("plan", type=Path, help="YAML file, such as configs/compare/smoke.yaml")
    parser.add_argument("--jobs", type=int, default=1, help="processes beside each other (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="in place of the file's")
    options = parser.parse_args()
    settings = [word for setting in options.set for word in ("--set", setting)]
    main(["compare", "plan", str(options.plan), *settings])
    main(["compare", "run", str(options.plan), "--jobs", str(options.jobs), *settings])
    main(["compare", "report", str(options.plan), *settings])
