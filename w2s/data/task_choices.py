"""Tasks that show a right or a wrong choice, as the draw decides: 12 of the paper's original code.

Which choices are listed follows the original code, but for cosmos_qa. Other differences, and why:

- openbookqa: the original shows the letter of a right answer and the text of a wrong one, so that
  the form tells the label. Here both are texts.
- cosmos_qa: a choice may read "None of the above choices ." It is right in some rows and wrong in
  others; the original shows it only as a wrong answer. Here it is shown with both labels, and all
  choices are listed above it: it means nothing alone.
- ethics-utilitarianism: the original shows both scenarios in a drawn order and proposes one of the
  two. Here the question is whether the first is the better one.
- anthropic_hh, as in the original: one of the two dialogues is shown alone. A row of two equal
  dialogues has no answer and cannot be used.
- sciq and sciq_with_support, as in the original: rows of all splits are held out for the test part.
  With support, rows without a passage cannot be used.

No group: in sciq the passage is not shown. In ethics-utilitarianism scenarios of one ranking return
in several pairs, and in anthropic_hh dialogues begin alike, but no column tells which.
"""

from __future__ import annotations

from w2s.data.task import PARQUET, Task
from w2s.data.task_formats import first_of_two, lines, multiple_choice
from w2s.data.task_rows import lettered, numbered, quoted, right_and_wrong

IS_RIGHT = "Is the proposed answer right?"
SCIQ_TEST = 3000  # rows that the original code holds out: SciQ's own test split has 1,000
_SCIQ_ANSWERS = right_and_wrong("correct_answer", "distractor1", "distractor2", "distractor3")
_SCIQ_COLUMNS = ("question", "correct_answer", "distractor1", "distractor2", "distractor3")
_COSMOS_ANSWERS = ("answer0", "answer1", "answer2", "answer3")
_SIQA_ANSWERS = ("answerA", "answerB", "answerC")
CHOICES = {
    "dream": Task(
        summary="Is an answer to a question about a dialogue right?",
        hub="dataset-org/dream",
        revision="ca4c45feaf089ecfc37579eb2c594375f70dbfd5",
        columns=("dialogue", "question", "choice", "answer"),
        label="the right one of three",
        format=multiple_choice(
            {"Dialogue": lines("dialogue"), "Question": "question"},
            quoted("choice", "answer"),
            IS_RIGHT,
        ),
        group="dialogue",
    ),
    "quail": Task(
        summary="Is an answer to a question about a passage right, or that it is not told?",
        hub="textmachinelab/quail",
        config="quail",
        columns=("context", "question", "answers", "correct_answer_id"),
        label="the right one of four",
        format=multiple_choice(
            {"Passage": "context", "Question": "question"},
            numbered("answers", "correct_answer_id"),
            IS_RIGHT,
        ),
        test=("validation",),
        group="context",
    ),
    "quartz": Task(
        summary="Does an answer to a question follow from a rule?",
        hub="allenai/quartz",
        columns=("para", "question", "choices", "answerKey"),
        label="the right one of two",
        format=multiple_choice(
            {"Passage": "para", "Question": "question"},
            lettered("choices", "answerKey"),
            IS_RIGHT,
        ),
        group="para",
    ),
    "social_i_qa": Task(
        summary="Is an answer to a question about people in a situation the best of three?",
        hub="lighteval/siqa",
        columns=("context", "question", *_SIQA_ANSWERS, "label"),
        label="the right one of three",
        format=multiple_choice(
            {"Context": "context", "Question": "question"},
            numbered(_SIQA_ANSWERS, "label", first=1),
            IS_RIGHT,
            listed="Choices",
        ),
        test=("validation",),
        group="context",
    ),
    "cosmos_qa": Task(
        summary="Is an answer to a question about a story the best of four?",
        hub="allenai/cosmos_qa",
        revision="ed50fe83db62b355759053b1cd5eef344ee371e0",
        columns=("context", "question", *_COSMOS_ANSWERS, "label"),
        label="the right one of four",
        format=multiple_choice(
            {"Context": "context", "Question": "question"},
            numbered(_COSMOS_ANSWERS, "label"),
            IS_RIGHT,
            listed="Choices",  # one may be "None of the above choices .", right or wrong
        ),
        test=("validation",),
        group="context",
    ),
    "sciq_with_support": Task(
        summary="Is an answer to a question of science right, given a passage?",
        hub="allenai/sciq",
        columns=("support", *_SCIQ_COLUMNS),
        label="the right one of four",
        format=multiple_choice(
            {"Passage": "support", "Question": "question"}, _SCIQ_ANSWERS, IS_RIGHT
        ),
        train=("train", "validation", "test"),
        test=(),
        held_out=SCIQ_TEST,
        group="support",
    ),
    "sciq": Task(
        summary="Is an answer to a question of science right?",
        hub="allenai/sciq",
        columns=_SCIQ_COLUMNS,
        label="the right one of four",
        format=multiple_choice({"Question": "question"}, _SCIQ_ANSWERS, IS_RIGHT),
        train=("train", "validation", "test"),
        test=(),
        held_out=SCIQ_TEST,
    ),
    "openbookqa": Task(
        summary="Is an answer to a question of science the best of four?",
        hub="allenai/openbookqa",
        config="main",
        columns=("question_stem", "choices", "answerKey"),
        label="the right one of four",
        format=multiple_choice(
            {"Question": "question_stem"},
            lettered("choices", "answerKey"),
            IS_RIGHT,
            listed="Choices",
        ),
    ),
    "hellaswag": Task(
        summary="Is a continuation of a text the most plausible of four?",
        hub="Rowan/hellaswag",
        columns=("ctx", "endings", "label"),
        label="the right one of four",
        format=multiple_choice(
            {"Context": "ctx"},
            numbered("endings", "label"),
            "Is the proposed continuation the most plausible one?",
            proposed="Proposed continuation",
            listed="Continuations",
        ),
        test=("validation",),
    ),
    "piqa": Task(
        summary="Does a solution reach an everyday goal?",
        hub="baber/piqa",
        revision="142f6d7367fd9877f0fb3b5734ea6a545f54cdd1",
        columns=("goal", "sol1", "sol2", "label"),
        label="the right one of two",
        format=multiple_choice(
            {"Goal": "goal"},
            numbered(("sol1", "sol2"), "label"),
            "Does the proposed solution reach the goal?",
            proposed="Proposed solution",
        ),
        test=("validation",),
    ),
    "anthropic_hh": Task(
        summary="Is a dialogue the one of two that people preferred?",
        hub="Anthropic/hh-rlhf",
        columns=("chosen", "rejected"),
        label="preferred to the other one, which is not shown",
        format=multiple_choice(
            {},
            right_and_wrong("chosen", "rejected"),
            "Is this the dialogue that people preferred?",
            proposed="Dialogue",
        ),
    ),
    "ethics-utilitarianism": Task(
        summary="Is the first of two scenarios the more pleasant one?",
        hub="hendrycks/ethics",
        data_dir="utilitarianism",
        revision=PARQUET,
        columns=("baseline", "less_pleasant"),
        label="the first is more pleasant",
        format=first_of_two(
            "baseline",
            "less_pleasant",
            names=("Scenario 1", "Scenario 2"),
            question="Is scenario 1 more pleasant than scenario 2?",
        ),
    ),
}
