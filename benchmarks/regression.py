"""Has anything become slower against its peers? Compares results/ with what the last commit has, and only warns.

    python benchmarks/regression.py                      # after the benchmarks, before their results are committed
    python benchmarks/regression.py --against v0.1.0     # with the results of another commit

What is compared is a ratio: how many times as fast as the fastest peer of the same run vqgen is, contestant by
contestant. A slower hour changes rates far more than ratios; another processor may change both, and is named.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from readings import against_peers, read
from recording import RESULTS, ROOT, git
from rich.console import Console
from rich.table import Table

Ratios = Mapping[tuple[str, str], float]
"""By comparison and contestant."""


def compare(then: Ratios, now: Ratios, threshold: float) -> list[tuple[str, str, str, str, str, str]]:
    """A line for each ratio: comparison, contestant, then, now, change, and what to say of it."""
    lines = []
    for (what, contestant), ratio in now.items():
        before = then.get((what, contestant))
        if before is None:
            lines.append((what, contestant, "", f"{ratio:.2f}x", "", "new"))
            continue
        change = ratio / before - 1
        verdict = "SLOWER" if change < -threshold else "faster" if change > threshold else ""
        lines.append((what, contestant, f"{before:.2f}x", f"{ratio:.2f}x", f"{change:+.0%}", verdict))
    lines += [(*key, f"{before:.2f}x", "", "", "gone") for key, before in then.items() if key not in now]
    return lines


def changed(folder: Path, commit: str) -> dict[str, tuple[Any, Any]]:
    """Results, then and now, of the files that differ from a commit's; None of what it did not have."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        committed = git("show", f"{commit}:{path.relative_to(ROOT).as_posix()}")
        now = json.loads(path.read_text())
        then = json.loads(committed) if committed else None
        if now != then:
            found[path.stem] = (then, now)
    return found


def elsewhere(then: Any, now: Any) -> str:
    """What to say of results that were measured on another processor, where both name theirs."""
    processors = [None if found is None else found.get("processor") for found in (then, now)]
    if None in processors or processors[0] == processors[1]:
        return ""
    return f" (on {processors[0]} then, on {processors[1]} now, which alone may be the reason)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default="HEAD", help="commit whose results are compared with (default: HEAD)")
    parser.add_argument("--threshold", type=float, default=0.1, help="share of the ratio to warn at (default: 0.1)")
    options = parser.parse_args()
    console, slower = Console(width=150), 0
    for name, (then, now) in changed(RESULTS, options.against).items():
        try:
            ratios = against_peers(read(name, now))
        except ValueError as error:
            console.print(f"{error}", markup=False)
            continue
        try:
            before = {} if then is None else against_peers(read(name, then))
        except ValueError:
            before = {}  # written by an older program: everything is new
        if not ratios and not before:
            continue
        table = Table(
            "comparison", "contestant", options.against, "now", "change", "", title=name + elsewhere(then, now)
        )
        for line in compare(before, ratios, options.threshold):
            table.add_row(*line)
            slower += line[-1] == "SLOWER"
        console.print(table)
    if slower:
        console.print(
            f"warning: {slower} ratios to the fastest peer fell by more than {options.threshold:.0%} since "
            f"{options.against}; run the program again on an idle machine, then look for what changed"
        )
    else:
        console.print(f"no ratio to the fastest peer fell by more than {options.threshold:.0%} since {options.against}")


if __name__ == "__main__":
    main()
