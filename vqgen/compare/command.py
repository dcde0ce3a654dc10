"""`vqgen compare plan | run | report`: what the commands print and write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def show_plan(path: str | Path, settings: Sequence[str] = ()) -> None:
    """Print a plan's runs with their numbers and states, and how long they will take.

    Args:
        path: the plan's file.
        settings: as in `read_plan`.
    """
    from vqgen.compare.estimate import estimate_seconds
    from vqgen.compare.jobs import state_of
    from vqgen.compare.plan_file import read_plan

    plan = read_plan(path, settings)
    runs, state = plan.runs(), state_of(plan)
    finished, failed = {run.index for run in state.finished}, {run.index for run in state.failed}
    width = max(len(run.contender) for run in runs)
    print(f"{len(runs)} runs into {plan.folder}/, each of {plan.budget.in_words(plan.batch_size)}")
    for run in runs:
        now = "finished" if run.index in finished else "failed" if run.index in failed else ""
        print(f"{run.index:4d}  {run.contender:{width}}  seed {run.seed}  {now}".rstrip())
    try:
        each = estimate_seconds(plan)
    except (FileNotFoundError, ValueError) as error:
        print(f"no estimate of the time: {error}")
        return
    left = len(state.open) * each
    print(f"about {each:.0f} s a run here, {left / 60:.0f} minutes for the {len(state.open)} that are left")


def run(
    path: str | Path,
    settings: Sequence[str] = (),
    *,
    index: Sequence[int] | None = None,
    jobs: int = 1,
    retry: bool = False,
) -> bool:
    """Do a plan's runs, or some of them.

    Args:
        path: the plan's file.
        settings: as in `read_plan`.
        index: numbers of the runs to do; None does all.
        jobs: processes beside each other.
        retry: whether to try failed runs again.

    Returns:
        Whether what was asked for is finished: all that `index` names, or, without it, the plan without failures.

    Raises:
        ValueError: if both `index` and `jobs` are given.
    """
    from vqgen.compare.jobs import run_in_processes, run_plan
    from vqgen.compare.plan_file import read_plan

    if index is not None and jobs != 1:
        raise ValueError(f"--index does single runs in this process, got --jobs {jobs} as well; leave one of them out")
    plan = read_plan(path, settings)

    def say(line: str) -> None:
        print(line, flush=True)

    if index is None:
        state = run_in_processes(plan, path, jobs=jobs, settings=settings, retry=retry, say=say)
    else:
        state = run_plan(plan, indices=index, say=say)
    for failed in state.failed:
        say(f"failed: run {failed.index}, {failed.contender}, seed {failed.seed}; see its failure.json")
    say(f"{len(state.finished)} of {len(plan.runs())} runs are finished")
    if index is not None:
        return {*index} <= {each.index for each in state.finished}
    return not state.failed


def report(path: str | Path, settings: Sequence[str] = ()) -> Path:
    """Write the report of a plan, given as its file or its folder.

    Args:
        path: the plan's file, or the folder that its results are in.
        settings: as in `read_plan`; of no use with a folder.

    Returns:
        The HTML file.
    """
    from vqgen.compare.report import write_report

    if Path(path).is_dir():
        return write_report(path)
    from vqgen.compare.plan_file import read_plan

    return write_report(read_plan(path, settings).folder)
