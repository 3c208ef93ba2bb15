"""The tasks of the paper's original code: 25 questions about datasets of the hub, 19 in the paper.

The repositories are those that load without a script of their own. Where the first home of a
dataset has one, this is the hub's conversion to Parquet (at a commit, if one is known) or a copy.

A task has a group where its source asks several questions about one passage, premise or scenario
that the text shows: examples of it must not lie on both sides of a split.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from w2s.data.task import Task
from w2s.data.task_choices import CHOICES
from w2s.data.task_labels import LABELLED

TASKS: Mapping[str, Task] = MappingProxyType(dict(sorted({**LABELLED, **CHOICES}.items())))
"""Every task by its key, in the order of the alphabet."""

PAPER: tuple[str, ...] = (
    "anli-r2",
    "cola",
    "dream",
    "mc_taco",
    "hellaswag",
    "multirc",
    "paws",
    "piqa",
    "quail",
    "quartz",
    "social_i_qa",
    "sst2",
    "wic",
    "twitter-sentiment",
    "sciq",
    "anthropic_hh",
    "cosmos_qa",
    "boolq",
    "amazon_polarity",
)
"""Keys of the tasks in the paper's tables."""
