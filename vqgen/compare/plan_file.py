"""Reading a plan from YAML."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from vqgen.compare.plan import Plan


def read_plan(path: str | Path, settings: Sequence[str] = ()) -> Plan:
    """Read a plan.

    Args:
        path: YAML file with the arguments of `Plan`; images are named by `class_path` and `init_args`.
        settings: `name=value` that take the place of the file's, such as `budget.steps=10`.

    Returns:
        The plan.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read as a plan.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected the YAML file of a plan, found no {path}; see configs/compare/")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--plan", action="config")
    parser.add_class_arguments(Plan)
    wrong = [setting for setting in settings if "=" not in setting]
    if wrong:
        raise ValueError(f"expected settings as name=value, got {wrong[0]!r}")
    try:
        found = parser.parse_args(["--plan", str(path), *(f"--{setting}" for setting in settings)])
        values = vars(parser.instantiate(found))
    except ArgumentError as error:
        raise ValueError(f"{path} is no plan: {error}") from error
    values.pop("plan")
    return Plan(**values)
