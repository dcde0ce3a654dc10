"""Unpack the Fashion-MNIST that Debian ships to where torchvision looks for it, so that nothing need be downloaded.

apt-get install dataset-fashion-mnist
python scripts/prepare_fashion_mnist.py --root data
vqgen fit --config configs/tokenizer/fashion_mnist.yaml
"""

import argparse
import gzip
import os
import shutil
from pathlib import Path

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
INSTALLED = Path("/usr/share/datasets/fashion-mnist")


def unpack(source: Path, root: Path) -> Path:
    """Unpack the four files of a folder into ROOT/FashionMNIST/raw, those that are not there already.

    Args:
        source: folder with the four `.gz` files.
        root: the folder to give to `TorchvisionImages("FashionMNIST", root, ...)`.

    Returns:
        The folder with the unpacked files.

    Raises:
        FileNotFoundError: if a file is missing.
    """
    missing = [name for name in FILES if not (source / f"{name}.gz").is_file()]
    if missing:
        raise FileNotFoundError(
            f"{source} lacks {', '.join(f'{name}.gz' for name in missing)}; "
            "type: apt-get install dataset-fashion-mnist, or name the folder that has them with --source"
        )
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        target = raw / name
        if target.exists():
            continue
        # Unpacked beside it and renamed, so that an interrupted run leaves no half file under the name.
        partial = raw / f".{name}.{os.getpid()}.partial"
        with gzip.open(source / f"{name}.gz") as packed, partial.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
        partial.replace(target)
    return raw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder for torchvision's data sets")
    parser.add_argument("--source", type=Path, default=INSTALLED, help="folder with the packed files")
    arguments = parser.parse_args()
    try:
        print(f"Fashion-MNIST stands in {unpack(arguments.source, arguments.root)}")
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
