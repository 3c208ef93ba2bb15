"""The tasks of the paper's original code: 25 questions about datasets of the hub, 19 in the paper.

The repositories are those that load without a script of their own. Where the first home of a
dataset has one, this is the hub's conversion to Parquet (at a commit, if one is known) or a copy.

A task has a group where its source asks several questions about one passage, premise or scenario
that the text shows: examples of it must not lie on both sides of a split. None has sciq, where the
passage is not shown, ethics-utilitarianism, where scenarios of one ranking return in several pairs,
and anthropic_hh, where dialogues begin alike: no column tells which.

Tasks with choices show a right or a wrong one, as the draw decides. Which choices are listed
follows the original code, but for cosmos_qa. Other differences, and why:

- openbookqa: the original shows the letter of a right answer and the text of a wrong one, so that
  the form tells the label. Here both are texts.
- cosmos_qa: a choice may read "None of the above choices ." It is right in some rows and wrong in
  others; the original shows it only as a wrong one. Here it has both labels, and all choices are
  listed above it: it means nothing alone.
- ethics-utilitarianism: the original shows both scenarios in a drawn order and proposes one of the
  two. Here the question is whether the first is the better one.
- anthropic_hh, as in the original: one of the two dialogues is shown alone. A row of two equal
  dialogues has no answer and cannot be used.
- sciq and sciq_with_support, as in the original: rows of all splits are held out for the test part.
  With support, rows without a passage cannot be used.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from w2s.data.task import PARQUET, Task
from w2s.data.task_formats import (
    after,
    before,
    first_of_two,
    is_class,
    is_true,
    lettered,
    lines,
    multiple_choice,
    numbered,
    quoted,
    right_and_wrong,
    yes_no,
)

_SCIQ_COLUMNS = ("question", "correct_answer", "distractor1", "distractor2", "distractor3")
_SCIQ_ANSWERS = right_and_wrong(*_SCIQ_COLUMNS[1:])
_SCIQ_TEST = 3000  # rows that the original code holds out: SciQ's own test split has 1,000
_SCIQ_SPLITS = ("train", "validation", "test")
_COSMOS_ANSWERS = ("answer0", "answer1", "answer2", "answer3")
_SIQA_ANSWERS = ("answerA", "answerB", "answerC")
# fmt: off
_TASKS = {
    "cola": Task(
        summary="Is a sentence acceptable English?",
        hub="nyu-mll/glue", config="cola",
        columns=("sentence", "label"), label="acceptable",
        format=yes_no({"Sentence": "sentence"}, "Is this sentence acceptable English?"),
        test=("validation",),
    ),
    "sst2": Task(
        summary="Is a phrase of a film review positive?",
        hub="stanfordnlp/sst2",
        columns=("sentence", "label"), label="positive",
        format=yes_no({"Review": "sentence"}, "Is this review positive?"),
        test=("validation",),
    ),
    "twitter-sentiment": Task(
        summary="Is a tweet positive?",
        hub="EleutherAI/twitter-sentiment",
        columns=("text", "label"), label="positive",
        format=yes_no({"Tweet": "text"}, "Is this tweet positive?"),
    ),
    "amazon_polarity": Task(
        summary="Is a product review positive?",
        hub="fancyzhx/amazon_polarity",
        columns=("title", "content", "label"), label="positive",
        format=yes_no(
            {"Title": "title", "Review": "content"},
            "Is this review positive?",
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
        train=("train_r2",), test=("test_r2",), group="premise",
    ),
    "paws": Task(
        summary="Do two sentences of mostly the same words mean the same?",
        hub="google-research-datasets/paws", config="labeled_final",
        columns=("sentence1", "sentence2", "label"), label="paraphrases",
        format=yes_no(
            {"Sentence 1": "sentence1", "Sentence 2": "sentence2"},
            "Do both sentences mean the same?",
        ),
    ),
    "wic": Task(
        summary="Does a word have the same meaning in two sentences?",
        hub="aps/super_glue", config="wic",
        columns=("word", "sentence1", "sentence2", "label"), label="the same meaning",
        format=yes_no(
            {"Sentence 1": "sentence1", "Sentence 2": "sentence2", "Word": "word"},
            "Does the word have the same meaning in both sentences?",
        ),
        test=("validation",),
    ),
    "ethics-deontology": Task(
        summary="Is an excuse, or what a role is said to demand, reasonable?",
        hub="hendrycks/ethics", data_dir="deontology", revision=PARQUET,
        columns=("scenario", "excuse", "label"), label="reasonable",
        format=yes_no(
            {"Scenario": "scenario", "Answer": "excuse"},
            "Is this answer to the scenario reasonable?",
        ),
        group="scenario",
    ),
    "ethics-justice": Task(
        summary="Is the reason for how somebody is treated just?",
        hub="hendrycks/ethics", data_dir="justice", revision=PARQUET,
        columns=("scenario", "label"), label="just",
        format=yes_no({"Statement": "scenario"}, "Is the statement reasonable and just?"),
    ),
    "ethics-virtue": Task(
        summary="Does somebody's behaviour show a trait?",
        hub="hendrycks/ethics", data_dir="virtue", revision=PARQUET,
        columns=("scenario", "label"), label="the trait is shown",
        format=yes_no(
            {"Scenario": before("scenario", "[SEP]"), "Trait": after("scenario", "[SEP]")},
            "Does the behaviour in the scenario show this trait?",
        ),
    ),
    "boolq": Task(
        summary="Is the answer to a question about a passage yes?",
        hub="google/boolq",
        columns=("passage", "question", "answer"), label="yes",
        format=yes_no(
            {"Passage": "passage", "Question": "question"},
            "Is the answer to the question yes?",
            is_true("answer"),
        ),
        test=("validation",), group="passage",
    ),
    "multirc": Task(
        summary="Is an answer to a question about a passage right?",
        hub="aps/super_glue", config="multirc",
        columns=("paragraph", "question", "answer", "label"),
        label="a right answer (there may be several)",
        format=yes_no(
            {"Passage": "paragraph", "Question": "question", "Proposed answer": "answer"},
            "Is the proposed answer right?",
        ),
        test=("validation",), group="paragraph",
    ),
    "mc_taco": Task(
        summary="Is an answer to a question about time plausible?",
        hub="CogComp/mc_taco", revision=PARQUET,
        columns=("sentence", "question", "answer", "label"),
        label="plausible (there may be several)",
        format=yes_no(
            {"Passage": "sentence", "Question": "question", "Proposed answer": "answer"},
            "Is the proposed answer plausible?",
        ),
        train=("test",), test=("validation",), group="sentence",  # test is the larger one
    ),
    "dream": Task(
        summary="Is an answer to a question about a dialogue right?",
        hub="dataset-org/dream", revision="ca4c45feaf089ecfc37579eb2c594375f70dbfd5",
        columns=("dialogue", "question", "choice", "answer"), label="the right one of three",
        format=multiple_choice(
            {"Dialogue": lines("dialogue"), "Question": "question"}, quoted("choice", "answer")
        ),
        group="dialogue",
    ),
    "quail": Task(
        summary="Is an answer to a question about a passage right, or that it is not told?",
        hub="textmachinelab/quail", config="quail",
        columns=("context", "question", "answers", "correct_answer_id"),
        label="the right one of four",
        format=multiple_choice(
            {"Passage": "context", "Question": "question"}, numbered("answers", "correct_answer_id")
        ),
        test=("validation",), group="context",
    ),
    "quartz": Task(
        summary="Does an answer to a question follow from a rule?",
        hub="allenai/quartz",
        columns=("para", "question", "choices", "answerKey"), label="the right one of two",
        format=multiple_choice(
            {"Passage": "para", "Question": "question"}, lettered("choices", "answerKey")
        ),
        group="para",
    ),
    "social_i_qa": Task(
        summary="Is an answer to a question about people in a situation the best of three?",
        hub="lighteval/siqa",
        columns=("context", "question", *_SIQA_ANSWERS, "label"), label="the right one of three",
        format=multiple_choice(
            {"Context": "context", "Question": "question"},
            numbered(_SIQA_ANSWERS, "label", first=1),
            listed="Choices",
        ),
        test=("validation",), group="context",
    ),
    "cosmos_qa": Task(
        summary="Is an answer to a question about a story the best of four?",
        hub="allenai/cosmos_qa", revision="ed50fe83db62b355759053b1cd5eef344ee371e0",
        columns=("context", "question", *_COSMOS_ANSWERS, "label"), label="the right one of four",
        format=multiple_choice(
            {"Context": "context", "Question": "question"},
            numbered(_COSMOS_ANSWERS, "label"),
            listed="Choices",  # one may be "None of the above choices .", right or wrong
        ),
        test=("validation",), group="context",
    ),
    "sciq_with_support": Task(
        summary="Is an answer to a question of science right, given a passage?",
        hub="allenai/sciq",
        columns=("support", *_SCIQ_COLUMNS), label="the right one of four",
        format=multiple_choice({"Passage": "support", "Question": "question"}, _SCIQ_ANSWERS),
        train=_SCIQ_SPLITS, test=(), held_out=_SCIQ_TEST, group="support",
    ),
    "sciq": Task(
        summary="Is an answer to a question of science right?",
        hub="allenai/sciq",
        columns=_SCIQ_COLUMNS, label="the right one of four",
        format=multiple_choice({"Question": "question"}, _SCIQ_ANSWERS),
        train=_SCIQ_SPLITS, test=(), held_out=_SCIQ_TEST,
    ),
    "openbookqa": Task(
        summary="Is an answer to a question of science the best of four?",
        hub="allenai/openbookqa", config="main",
        columns=("question_stem", "choices", "answerKey"), label="the right one of four",
        format=multiple_choice(
            {"Question": "question_stem"}, lettered("choices", "answerKey"), listed="Choices"
        ),
    ),
    "hellaswag": Task(
        summary="Is a continuation of a text the most plausible of four?",
        hub="Rowan/hellaswag",
        columns=("ctx", "endings", "label"), label="the right one of four",
        format=multiple_choice(
            {"Context": "ctx"}, numbered("endings", "label"),
            "Is the proposed continuation the most plausible one?",
            proposed="Proposed continuation",
            listed="Continuations",
        ),
        test=("validation",),
    ),
    "piqa": Task(
        summary="Does a solution reach an everyday goal?",
        hub="baber/piqa", revision="142f6d7367fd9877f0fb3b5734ea6a545f54cdd1",
        columns=("goal", "sol1", "sol2", "label"), label="the right one of two",
        format=multiple_choice(
            {"Goal": "goal"}, numbered(("sol1", "sol2"), "label"),
            "Does the proposed solution reach the goal?",
            proposed="Proposed solution",
        ),
        test=("validation",),
    ),
    "anthropic_hh": Task(
        summary="Is a dialogue the one of two that people preferred?",
        hub="Anthropic/hh-rlhf",
        columns=("chosen", "rejected"), label="preferred to the other one, which is not shown",
        format=multiple_choice(
            {}, right_and_wrong("chosen", "rejected"),
            "Is this the dialogue that people preferred?", proposed="Dialogue",
        ),
    ),
    "ethics-utilitarianism": Task(
        summary="Is the first of two scenarios the more pleasant one?",
        hub="hendrycks/ethics", data_dir="utilitarianism", revision=PARQUET,
        columns=("baseline", "less_pleasant"), label="the first is more pleasant",
        format=first_of_two(
            "baseline",
            "less_pleasant",
            names=("Scenario 1", "Scenario 2"),
            question="Is scenario 1 more pleasant than scenario 2?",
        ),
    ),
}
# fmt: on
TASKS: Mapping[str, Task] = MappingProxyType(dict(sorted(_TASKS.items())))
"""Every task by its key, in the order of the alphabet."""
