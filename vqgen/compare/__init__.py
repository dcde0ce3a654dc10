"""Which scan order is best: plan, run, statistics and report. Uses only the public API of the rooms below."""

import importlib
from typing import TYPE_CHECKING, Any

from vqgen.compare.analysis import Analysis, Contender, Correlation, analyse
from vqgen.compare.published import PUBLISHED, Agreement, PublishedRanking, agreement
from vqgen.compare.result import RunFailure, RunResult, read_failure, read_result
from vqgen.compare.significance import Comparison, Interval, holm, paired_comparison, t_interval

if TYPE_CHECKING:
    from vqgen.compare.jobs import State, run_in_processes, run_plan, state_of
    from vqgen.compare.plan import Budget, Plan, PriorPlan, QualityPlan, Run, TokenizerPlan
    from vqgen.compare.plan_file import read_plan
    from vqgen.compare.run import execute

__all__ = [
    "PUBLISHED",
    "Agreement",
    "Analysis",
    "Budget",
    "Comparison",
    "Contender",
    "Correlation",
    "Interval",
    "Plan",
    "PriorPlan",
    "PublishedRanking",
    "QualityPlan",
    "Run",
    "RunFailure",
    "RunResult",
    "State",
    "TokenizerPlan",
    "agreement",
    "analyse",
    "execute",
    "holm",
    "paired_comparison",
    "read_failure",
    "read_plan",
    "read_result",
    "run_in_processes",
    "run_plan",
    "state_of",
    "t_interval",
]

_HOMES = {
    "Budget": "plan",
    "Plan": "plan",
    "PriorPlan": "plan",
    "QualityPlan": "plan",
    "Run": "plan",
    "State": "jobs",
    "TokenizerPlan": "plan",
    "execute": "run",
    "read_plan": "plan_file",
    "run_in_processes": "jobs",
    "run_plan": "jobs",
    "state_of": "jobs",
}


def __getattr__(name: str) -> Any:
    """Import what needs Lightning when it is first used: reading results does without."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"vqgen.compare.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
