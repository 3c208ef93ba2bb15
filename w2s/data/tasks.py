"""The tasks of the paper's original code: 25 questions about datasets of the hub, 19 in the paper.

The repositories are those that load without a script of their own. Where the first home of a
dataset has one, this is the hub's conversion to Parquet (at a commit, if one is known) or a copy.

A task has a group where its source asks several questions about one passage, premise or scenario
that the text shows: examples of it must not lie on both sides of a split.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from w2s.data.task import PARQUET, Task
from w2s.data.task_choices import CHOICES
from w2s.data.task_formats import after, before, yes_no
from w2s.data.task_rows import is_class, is_true

LABELLED = {
    "cola": Task(
        summary="Is a sentence acceptable English?",
        hub="nyu-mll/glue",
        config="cola",
        columns=("sentence", "label"),
        label="acceptable",
        format=yes_no(
            {"Sentence": "sentence"}, "Is this sentence acceptable English?", is_class("label")
        ),
        test=("validation",),
    ),
    "sst2": Task(
        summary="Is a phrase of a film review positive?",
        hub="stanfordnlp/sst2",
        columns=("sentence", "label"),
        label="positive",
        format=yes_no({"Review": "sentence"}, "Is this review positive?", is_class("label")),
        test=("validation",),
    ),
    "twitter-sentiment": Task(
        summary="Is a tweet positive?",
        hub="EleutherAI/twitter-sentiment",
        columns=("text", "label"),
        label="positive",
        format=yes_no({"Tweet": "text"}, "Is this tweet positive?", is_class("label")),
    ),
    "amazon_polarity": Task(
        summary="Is a product review positive?",
        hub="fancyzhx/amazon_polarity",
        columns=("title", "content", "label"),
        label="positive",
        format=yes_no(
            {"Title": "title", "Review": "content"},
            "Is this review positive?",
            is_class("label"),
            optional=("Title",),  # some reviews have none, and can be judged without it
        ),
    ),
    "anli-r2": Task(
        summary="Does a premise entail a hypothesis (second round)?",
        hub="facebook/anli",
        columns=("premise", "hypothesis", "label"),
        label="entailment; neither neutral nor contradiction",
        format=yes_no(
            {"Premise": "premise", "Hypothesis": "hypothesis"},
            "Does the premise entail the hypothesis?",
            is_class("label", 0, of=3),
        ),
        train=("train_r2",),
        test=("test_r2",),
        group="premise",
    ),
    "paws": Task(
        summary="Do two sentences of mostly the same words mean the same?",
        hub="google-research-datasets/paws",
        config="labeled_final",
        columns=("sentence1", "sentence2", "label"),
        label="paraphrases",
        format=yes_no(
            {"Sentence 1": "sentence1", "Sentence 2": "sentence2"},
            "Do both sentences mean the same?",
            is_class("label"),
        ),
    ),
    "wic": Task(
        summary="Does a word have the same meaning in two sentences?",
        hub="aps/super_glue",
        config="wic",
        columns=("word", "sentence1", "sentence2", "label"),
        label="the same meaning",
        format=yes_no(
            {"Sentence 1": "sentence1", "Sentence 2": "sentence2", "Word": "word"},
            "Does the word have the same meaning in both sentences?",
            is_class("label"),
        ),
        test=("validation",),
    ),
    "ethics-deontology": Task(
        summary="Is an excuse, or what a role is said to demand, reasonable?",
        hub="hendrycks/ethics",
        data_dir="deontology",
        revision=PARQUET,
        columns=("scenario", "excuse", "label"),
        label="reasonable",
        format=yes_no(
            {"Scenario": "scenario", "Answer": "excuse"},
            "Is this answer to the scenario reasonable?",
            is_class("label"),
        ),
        group="scenario",
    ),
    "ethics-justice": Task(
        summary="Is the reason for how somebody is treated just?",
        hub="hendrycks/ethics",
        data_dir="justice",
        revision=PARQUET,
        columns=("scenario", "label"),
        label="just",
        format=yes_no(
            {"Statement": "scenario"}, "Is the statement reasonable and just?", is_class("label")
        ),
    ),
    "ethics-virtue": Task(
        summary="Does somebody's behaviour show a trait?",
        hub="hendrycks/ethics",
        data_dir="virtue",
        revision=PARQUET,
        columns=("scenario", "label"),
        label="the trait is shown",
        format=yes_no(
            {"Scenario": before("scenario", "[SEP]"), "Trait": after("scenario", "[SEP]")},
            "Does the behaviour in the scenario show this trait?",
            is_class("label"),
        ),
    ),
    "boolq": Task(
        summary="Is the answer to a question about a passage yes?",
        hub="google/boolq",
        columns=("passage", "question", "answer"),
        label="yes",
        format=yes_no(
            {"Passage": "passage", "Question": "question"},
            "Is the answer to the question yes?",
            is_true("answer"),
        ),
        test=("validation",),
        group="passage",
    ),
    "multirc": Task(
        summary="Is an answer to a question about a passage right?",
        hub="aps/super_glue",
        config="multirc",
        columns=("paragraph", "question", "answer", "label"),
        label="a right answer (there may be several)",
        format=yes_no(
            {"Passage": "paragraph", "Question": "question", "Proposed answer": "answer"},
            "Is the proposed answer right?",
            is_class("label"),
        ),
        test=("validation",),
        group="paragraph",
    ),
    "mc_taco": Task(
        summary="Is an answer to a question about time plausible?",
        hub="CogComp/mc_taco",
        revision=PARQUET,
        columns=("sentence", "question", "answer", "label"),
        label="plausible (there may be several)",
        format=yes_no(
            {"Passage": "sentence", "Question": "question", "Proposed answer": "answer"},
            "Is the proposed answer plausible?",
            is_class("label"),
        ),
        train=("test",),  # the larger one
        test=("validation",),
        group="sentence",
    ),
}


class Size(NamedTuple):
    """Rows of both sides, and tokens of a text."""

    train: int
    test: int
    tokens: int


TYPICAL = 100  # tokens of a text of which nothing is known
SIZES: dict[str, Size] = {
    "amazon_polarity": Size(3_600_000, 400_000, 110),
    "anli-r2": Size(45_460, 1_000, 110),
    "anthropic_hh": Size(160_800, 8_552, 220),
    "boolq": Size(9_427, 3_270, 160),
    "cola": Size(8_551, 1_043, 25),
    "cosmos_qa": Size(25_262, 2_985, 130),
    "dream": Size(6_116, 2_041, 190),
    "ethics-deontology": Size(18_164, 3_596, 50),
    "ethics-justice": Size(21_791, 2_704, 50),
    "ethics-utilitarianism": Size(13_738, 4_808, 60),
    "ethics-virtue": Size(28_245, 4_975, 50),
    "hellaswag": Size(39_905, 10_042, 120),
    "mc_taco": Size(9_442, 3_783, 60),
    "multirc": Size(27_243, 4_848, 370),
    "openbookqa": Size(4_957, 500, 50),
    "paws": Size(49_401, 8_000, 80),
    "piqa": Size(16_113, 1_838, 60),
    "quail": Size(10_246, 2_164, 430),
    "quartz": Size(2_696, 784, 80),
    "sciq": Size(10_679, 3_000, 45),
    "sciq_with_support": Size(10_679, 3_000, 150),
    "social_i_qa": Size(33_410, 1_954, 60),
    "sst2": Size(67_349, 872, 30),
    "twitter-sentiment": Size(1_570_000, 10_000, 35),
    "wic": Size(5_428, 638, 50),
}
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
