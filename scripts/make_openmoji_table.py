"""Make vqgen/data/openmoji.tsv, the table of OpenMoji's drawings with their families of look-alikes.

The names come from `data/openmoji.json` of the npm package `openmoji`, the look-alikes from names and from renders
(`pip install 'vqgen[openmoji]'`). It is run once per release of OpenMoji; the split that users see follows from the
table alone, so it cannot change with the renderer they have.

    python scripts/make_openmoji_table.py                      # fetches the package with `npm pack`
    python scripts/make_openmoji_table.py --json openmoji.json

Four rules join two drawings; joined drawings, also by way of others, are one family:
- one is a skin tone of the other;
- their names differ only in gender, age, colour, size or the direction faced ("man running: facing right");
- both are of the subgroup "family" (two to four of the same people);
- their renders, brought to 32 x 32, differ by a root mean square below 0.12 of full range, one of them mirrored or not
  and, where neither is a skin tone, moved by up to two of these pixels.
At 0.12 the pairs that are just joined are the same thing with another detail (two round faces, two clocks, a red and a
yellow car); those just beyond it begin to be different things (see the picture that --pairs writes).
"""

import argparse
import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vqgen.data.openmoji_render import render
from vqgen.data.openmoji_table import ATTRIBUTION

VERSION = "17.0.0"
THRESHOLD = 0.12
SHIFT = 2
TABLE = Path(__file__).parents[1] / "vqgen" / "data" / "openmoji.tsv"
INTERCHANGEABLE = re.compile(
    r"\b(man|woman|person|men|women|people|boys?|girls?|child|merman|mermaid|merperson|prince|princess|king|queen|mrs?|mx|"
    r"light|deep|dark|medium|small|large|red|orange|yellow|green|blue|purple|brown|black|white|gr[ea]y|pink)\b"
)


def fetch_names() -> list[dict[str, Any]]:
    """The list of drawings in the npm package."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", f"openmoji@{VERSION}"], cwd=folder, check=True, capture_output=True)
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as package:
            file = package.extractfile("package/data/openmoji.json")
            assert file is not None
            drawings: list[dict[str, Any]] = json.load(file)
    return drawings


def bare_name(drawing: dict[str, Any]) -> str:
    """A drawing's name without the words in which variants of one drawing differ."""
    if drawing["subgroups"] == "family":
        return "family"
    words = INTERCHANGEABLE.sub(" ", drawing["annotation"].lower().replace(": facing right", ""))
    return " ".join(words.split())


def tags_of(drawing: dict[str, Any]) -> str:
    """What else a drawing is called, without the words of its name."""
    named = set(re.findall(r"[^\W_]+", drawing["annotation"].lower()))
    listed = (tag.strip() for tags in (drawing["tags"], drawing["openmoji_tags"]) for tag in tags.lower().split(","))
    return ", ".join(tag for tag in dict.fromkeys(listed) if tag and tag not in named)


def near_pairs(images: npt.NDArray[np.uint8], threshold: float, shift: int) -> list[tuple[float, int, int]]:
    """Pairs (distance, i, j), i < j, of renders (n, 3, 64, 64) nearer than the threshold, sorted by distance."""
    count = len(images)
    small = images.reshape(count, 3, 32, 2, 32, 2).mean((3, 5), dtype=np.float32) / 255
    padded = np.pad(small, ((0, 0), (0, 0), (shift, shift), (shift, shift)), constant_values=1)
    flat = small.reshape(count, -1)
    squares = (flat**2).sum(1)
    pairs: dict[tuple[int, int], float] = {}
    for top, left in np.ndindex(2 * shift + 1, 2 * shift + 1):
        moved = padded[:, :, top : top + 32, left : left + 32]
        for other in (moved, moved[..., ::-1]):
            other = other.reshape(count, -1)
            other_squares = (other**2).sum(1)
            for start in range(0, count, 512):
                rows = slice(start, start + 512)
                square_distances = squares[rows, None] + other_squares - 2 * flat[rows] @ other.T
                distances = np.sqrt(np.maximum(square_distances, 0) / flat.shape[1])
                for row, column in np.argwhere(distances < threshold):
                    if start + row != column:
                        pair = (min(int(start + row), int(column)), max(int(start + row), int(column)))
                        pairs[pair] = min(float(distances[row, column]), pairs.get(pair, np.inf))
    return sorted((distance, *pair) for pair, distance in pairs.items())


class Families:
    """Sets of drawings that only grow together (union-find); a family is named by its first member."""

    def __init__(self, count: int) -> None:
        self.parents = list(range(count))

    def first(self, member: int) -> int:
        """The first member of this member's family."""
        while self.parents[member] != member:
            self.parents[member] = member = self.parents[self.parents[member]]
        return member

    def join(self, one: int, other: int) -> None:
        """Make the families of both members one."""
        low, high = sorted((self.first(one), self.first(other)))
        self.parents[high] = low


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="data/openmoji.json, if it need not be fetched")
    parser.add_argument(
        "--pairs", type=Path, help="also write a picture of pairs just below and just above the threshold"
    )
    arguments = parser.parse_args()

    drawings = json.loads(arguments.json.read_text(encoding="utf-8")) if arguments.json else fetch_names()
    hexcodes = [drawing["hexcode"] for drawing in drawings]
    numbers = {hexcode: number for number, hexcode in enumerate(hexcodes)}
    bases = [numbers[drawing["skintone_base_hexcode"] or drawing["hexcode"]] for drawing in drawings]

    families = Families(len(drawings))
    by_name: dict[str, int] = {}
    for number, (drawing, base) in enumerate(zip(drawings, bases, strict=True)):
        families.join(number, base)
        if number == base:
            families.join(number, by_name.setdefault(bare_name(drawing), number))
    images = render(hexcodes, (64, 64))
    own_bases = np.array([number for number, base in enumerate(bases) if number == base])
    pairs = near_pairs(images[own_bases], 1.2 * THRESHOLD, SHIFT)
    pairs = [(distance, int(own_bases[one]), int(own_bases[other])) for distance, one, other in pairs]
    for distance, one, other in pairs + near_pairs(images, THRESHOLD, 0):
        if distance < THRESHOLD:
            families.join(one, other)
    if arguments.pairs:
        write_pairs(arguments.pairs, images, pairs)

    with TABLE.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"# OpenMoji {VERSION}. {ATTRIBUTION}\n")
        file.write("# Made by scripts/make_openmoji_table.py; changed: columns chosen, the column family added.\n")
        file.write("# base: what this is a skin tone of (group, subgroup and family stand in that row); empty: none.\n")
        file.write("# family: the first of its look-alikes; empty: itself.\n")
        file.write("# tags: what else it is called, without words of the annotation; ")
        file.write("a skin tone's are those of its base.\n")
        file.write("hexcode\tgroup\tsubgroup\tannotation\tbase\tfamily\ttags\n")
        for number, (drawing, base) in enumerate(zip(drawings, bases, strict=True)):
            name = drawing["annotation"]
            assert not set("\t\n") & set(name), f"a tab or line break in {name!r} would break the table"
            if number == base:
                first = families.first(number)
                family = "" if first == number else hexcodes[first]
                row = [hexcodes[number], drawing["group"], drawing["subgroups"], name, "", family, tags_of(drawing)]
            else:
                row = [hexcodes[number], "", "", name, hexcodes[base], "", ""]
            file.write("\t".join(row) + "\n")
    count = len({families.first(number) for number in range(len(drawings))})
    print(f"{TABLE}: {len(drawings)} drawings in {count} families, {TABLE.stat().st_size / 1000:.0f} kB")


def write_pairs(path: Path, images: npt.NDArray[np.uint8], pairs: list[tuple[float, int, int]]) -> None:
    """A picture with 16 pairs just below the threshold (upper row) and 16 just above it (lower row)."""
    middle = sum(distance < THRESHOLD for distance, _, _ in pairs)
    rows = []
    for chosen in (pairs[max(0, middle - 16) : middle], pairs[middle : middle + 16]):
        columns = [np.concatenate([images[one], images[other]], axis=1) for _, one, other in chosen]
        rows.append(np.concatenate(columns, axis=2))
    Image.fromarray(np.concatenate(rows, axis=1).transpose(1, 2, 0)).save(path)


if __name__ == "__main__":
    main()
