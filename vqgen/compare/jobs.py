"""Working through a plan: one process, several beside each other, or one run as a job of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from vqgen.compare.plan import Plan, Run
from vqgen.compare.preparation import prepare
from vqgen.compare.result import FAILURE_FILE, RunFailure, read_failure, read_result
from vqgen.compare.run import execute, run_folder

Say = Callable[[str], None]


@dataclass(frozen=True)
class State:
    """How far a plan is.

    Attributes:
        finished: runs with a result.
        failed: runs that ended with an error.
        open: runs to do, or being done.
    """

    finished: tuple[Run, ...]
    failed: tuple[Run, ...]
    open: tuple[Run, ...]


def state_of(plan: Plan) -> State:
    """Look at every run's folder."""
    kinds: dict[str, list[Run]] = {"finished": [], "failed": [], "open": []}
    for run in plan.runs():
        folder = run_folder(plan, run)
        kind = "finished" if read_result(folder) else "failed" if read_failure(folder) else "open"
        kinds[kind].append(run)
    return State(**{kind: tuple(runs) for kind, runs in kinds.items()})


def run_plan(plan: Plan, *, indices: Sequence[int] | None = None, retry: bool = False, say: Say = print) -> State:
    """Do the runs of a plan that are neither finished, failed nor being done by another process.

    Args:
        plan: the plan; its tokenizer and codes are made first if they are missing.
        indices: numbers of the runs to do, also if they failed before; None does all.
        retry: whether to try failed runs again.
        say: is told what happens, line by line.

    Returns:
        How far the plan is then.

    Raises:
        ValueError: if an index is out of range.
    """
    runs = plan.runs()
    wrong = [index for index in indices or () if not 0 <= index < len(runs)]
    if wrong:
        raise ValueError(f"the plan has runs 0 to {len(runs) - 1}, got index {wrong[0]}")
    prepare(plan)
    for run in runs if indices is None else [runs[index] for index in indices]:
        _do(plan, run, retry=retry or indices is not None, say=say)
    return state_of(plan)


def run_in_processes(
    plan: Plan, path: str | Path, *, jobs: int, settings: Sequence[str] = (), retry: bool = False, say: Say = print
) -> State:
    """Do a plan in several processes that share the threads; each takes the next run that no other has.

    Args:
        plan: the plan.
        path: its file, which the processes read.
        jobs: how many processes, >= 1.
        settings: as in `read_plan`.
        retry: whether to try failed runs again.
        say: is told what happens.

    Returns:
        How far the plan is then.

    Raises:
        ValueError: if there are no jobs.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be >= 1, got {jobs}")
    if jobs == 1:
        return run_plan(plan, retry=retry, say=say)
    prepare(plan)
    if retry:
        for run in state_of(plan).failed:
            (run_folder(plan, run) / FAILURE_FILE).unlink(missing_ok=True)
    threads = max(1, torch.get_num_threads() // jobs)
    say(f"{jobs} processes with {threads} thread{'s' * (threads > 1)} each")
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "vqgen", "compare", "run", str(path)]
    command += [word for setting in settings for word in ("--set", setting)]
    with _exit_on_sigterm():
        workers = [subprocess.Popen(command, env=environment) for _ in range(jobs)]
        try:
            statuses = [worker.wait() for worker in workers]
        except BaseException:
            for worker in workers:
                worker.terminate()
            raise
    for status in statuses:
        if status != 0:
            say(f"a process ended with status {status}; the runs it had not finished are open")
    return state_of(plan)


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Let a request to end unwind the stack as Ctrl-C does; only the main thread can choose that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _do(plan: Plan, run: Run, *, retry: bool, say: Say) -> None:
    folder = run_folder(plan, run)
    name = f"run {run.index}: {run.contender}, seed {run.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    # The system releases the lock of a process that dies, however it dies.
    lock = FileLock(folder / "run.lock", timeout=0)
    try:
        held = lock.acquire()
    except Timeout:
        return
    with held:
        if read_result(folder) is not None or (read_failure(folder) is not None and not retry):
            return
        (folder / FAILURE_FILE).unlink(missing_ok=True)
        try:
            result = execute(plan, run)
        except Exception as error:  # one run's fault is not the others'; interrupts are no Exceptions
            line = f"{type(error).__name__}: {error}"
            RunFailure(run.contender, run.seed, line, traceback.format_exc()).save(folder)
            say(f"{name} FAILED ({line})")
        else:
            say(f"{name}: {result.nll:.4f} nats per code, {result.steps} steps in {result.seconds:.0f} s")
