"""The 25 tasks: labels in both directions, texts, draws, refusals; and tasks of the user's own."""

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hub_rows import PAPER
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s.data.own_tasks import example_of, load_tasks
from w2s.data.task import Task
from w2s.data.task_formats import after, before, is_class, multiple_choice, right_and_wrong, yes_no
from w2s.data.tasks import TASKS
from w2s.errors import DataError
from w2s.rng import stream

# repository, configuration, folder, revision, splits of pool and val, splits of test, group
FACTS = """
anli-r2 facebook/anli - - main train_r2 test_r2 premise
cola nyu-mll/glue cola - main train validation -
dream dataset-org/dream - - ca4c45feaf089ecfc37579eb2c594375f70dbfd5 train test dialogue
ethics-deontology hendrycks/ethics - deontology refs/convert/parquet train test scenario
ethics-justice hendrycks/ethics - justice refs/convert/parquet train test -
ethics-virtue hendrycks/ethics - virtue refs/convert/parquet train test -
ethics-utilitarianism hendrycks/ethics - utilitarianism refs/convert/parquet train test -
mc_taco CogComp/mc_taco - - refs/convert/parquet test validation sentence
hellaswag Rowan/hellaswag - - main train validation -
multirc aps/super_glue multirc - main train validation paragraph
wic aps/super_glue wic - main train validation -
openbookqa allenai/openbookqa main - main train test -
paws google-research-datasets/paws labeled_final - main train test -
piqa baber/piqa - - 142f6d7367fd9877f0fb3b5734ea6a545f54cdd1 train validation -
quail textmachinelab/quail quail - main train validation context
quartz allenai/quartz - - main train test para
social_i_qa lighteval/siqa - - main train validation context
sst2 stanfordnlp/sst2 - - main train validation -
twitter-sentiment EleutherAI/twitter-sentiment - - main train test -
sciq allenai/sciq - - main train+validation+test - -
sciq_with_support allenai/sciq - - main train+validation+test - support
anthropic_hh Anthropic/hh-rlhf - - main train test -
cosmos_qa allenai/cosmos_qa - - ed50fe83db62b355759053b1cd5eef344ee371e0 train validation context
boolq google/boolq - - main train validation passage
amazon_polarity fancyzhx/amazon_polarity - - main train test -
"""

# rows of the tasks with a label of their own: each once for every label, and the label it means
ANLI = {"premise": " Ann owns\na dog. ", "hypothesis": "Ann has a pet.", "uid": "x", "reason": ""}
TACO = {"sentence": "He ate lunch.", "question": "How long did it take?", "answer": "20 minutes"}
RC = {"paragraph": "Rain fell. It was wet.", "question": "What fell?", "answer": "Rain", "idx": {}}
WIC = {"word": "bank", "sentence1": "The river bank.", "sentence2": "A bank loan.", "start1": 10}
PAWS = {"id": 1, "sentence1": "Flights from A to B.", "sentence2": "Flights from B to A."}
BOOLQ = {"passage": "Ice is frozen water.", "question": "is ice water"}
DEONTOLOGY = {"scenario": "Could you walk my dog?", "excuse": "No, I am ill."}
OWN = {
    "cola": {"sentence": " They drank the pub dry.", "idx": 0},
    "sst2": {"sentence": "a gorgeous film ", "idx": 0},
    "twitter-sentiment": {"text": "@you hi :) "},
    "amazon_polarity": {"title": "Great", "content": "It works."},
    "paws": PAWS,
    "wic": WIC,
    "ethics-deontology": DEONTOLOGY,
    "ethics-justice": {"scenario": "I paid Al as he worked."},
    "ethics-virtue": {"scenario": "Jo gave the coat away. [SEP] generous"},
    "mc_taco": TACO,
    "multirc": RC,
}
LABELLED = {key: (row, "label", {0: 0, 1: 1}) for key, row in OWN.items()}
LABELLED["anli-r2"] = (ANLI, "label", {0: 1, 1: 0, 2: 0})
LABELLED["boolq"] = (BOOLQ, "answer", {False: 0, True: 1})

# rows of the tasks that show a choice, and the choices in their order
SCIQ = {
    "question": "What boils at 100 C?", "correct_answer": " water", "distractor1": "iron ",
    "distractor2": "salt", "distractor3": "gold", "support": "Water boils\nat 100 C.",
}  # fmt: skip
SIQA_TEXTS = ["run", "rest", "fly"]
SIQA = {"context": "Al fell.", "question": "What next?"}
SIQA |= {f"answer{'ABC'[i]}": text for i, text in enumerate(SIQA_TEXTS)}
NONE_OF_THEM = "None of the above choices ."
COSMOS_TEXTS = [NONE_OF_THEM, "I like music .", "I was lost .", "I hate it ."]
COSMOS = {"id": "3", "context": "I saw the band.", "question": "Why?"}
COSMOS |= {f"answer{i}": text for i, text in enumerate(COSMOS_TEXTS)}
HELLASWAG = {
    "ctx": "A man lifts a bar. he", "endings": ["drops it.", "eats it.", "sings.", "flies."],
    "activity_label": "Lifting", "split_type": "indomain",
}  # fmt: skip
QUAIL = {
    "context": "Eve slept.\nIt rained.", "context_id": "f1", "question": "Who slept?",
    "answers": ["Eve", "Bob", "a cat", "not enough information"],
}  # fmt: skip
PIQA = {"goal": "open a jar", "sol1": "twist the lid", "sol2": "bite the glass"}
DREAM = {
    "dialogue": ["M: Tea?", "W: No, coffee. "], "question": "What will she drink?",
    "choice": ["Tea.", "Coffee.", "Milk."], "dialogue_id": "1-2",
}  # fmt: skip
BOOK = {
    "id": "7-1", "question_stem": "The sun is",
    "choices": {"text": ["cold", "a star ", "blue", "flat"], "label": ["A", "B", "C", "D"]},
}  # fmt: skip
QUARTZ = {
    "para": "More rain, more growth.", "question": "With rain grass grows",
    "choices": {"text": ["more", "less"], "label": ["A", "B"]},
}  # fmt: skip
FOUR = {i: i for i in range(4)}
ANSWERED = {  # the row, the column that tells the right choice, the number its values mean
    "dream": (DREAM, "answer", {"Coffee.": 1, "Milk. ": 2}, DREAM["choice"]),
    "hellaswag": (HELLASWAG, "label", {str(i): i for i in FOUR}, HELLASWAG["endings"]),
    "openbookqa": (BOOK, "answerKey", {"B": 1, "D": 3}, ["cold", "a star", "blue", "flat"]),
    "piqa": (PIQA, "label", {0: 0, 1: 1}, ["twist the lid", "bite the glass"]),
    "quail": (QUAIL, "correct_answer_id", FOUR, QUAIL["answers"]),
    "quartz": (QUARTZ, "answerKey", {"A": 0, "B": 1}, ["more", "less"]),
    # "3\n" is a line of the file it came from
    "social_i_qa": (SIQA, "label", {"1": 0, "2": 1, "3\n": 2}, SIQA_TEXTS),
    "cosmos_qa": (COSMOS, "label", FOUR, COSMOS_TEXTS),
}
HH = {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello!", "rejected": "\n\nHuman: Hi\n\nAssistant: No."}
CHOSEN = {  # the row, the right choice, the wrong ones
    key: [({**row, column: value}, texts[i], texts[:i] + texts[i + 1 :])
          for value, i in right.items()]
    for key, (row, column, right, texts) in ANSWERED.items()
} | {
    "sciq": [
        (SCIQ, "water", ["iron", "salt", "gold"]),
        ({**SCIQ, "support": "", "distractor2": "water"}, "water", ["iron", "gold"]),
    ],
    "sciq_with_support": [
        (SCIQ, "water", ["iron", "salt", "gold"]),
        ({**SCIQ, "distractor1": "", "distractor3": "salt"}, "water", ["salt"]),
    ],
    "anthropic_hh": [
        (HH, HH["chosen"].strip(), [HH["rejected"].strip()]),
        ({"chosen": "Human: A", "rejected": "Human: B"}, "Human: A", ["Human: B"]),
    ],
}  # fmt: skip
UTILITY = {"baseline": "I won a prize.", "less_pleasant": " I won nothing. "}

# one usable row of every task
ROWS = {key: {**row, column: next(iter(labels))} for key, (row, column, labels) in LABELLED.items()}
ROWS |= {key: cases[0][0] for key, cases in CHOSEN.items()} | {"ethics-utilitarianism": UTILITY}
CONTEXT = {  # columns that a text shows beside the choices
    "dream": "dialogue question", "hellaswag": "ctx", "openbookqa": "question_stem",
    "piqa": "goal", "quail": "context question", "quartz": "para question",
    "social_i_qa": "context question", "cosmos_qa": "context question", "sciq": "question",
    "sciq_with_support": "support question", "anthropic_hh": "",
    "ethics-utilitarianism": "baseline less_pleasant",
}  # fmt: skip
CONTEXT |= {  # and all but the label where the row has one
    key: " ".join(set(row) & set(TASKS[key].columns)) for key, (row, _, _) in LABELLED.items()
}


def form(key, row, seed=0):
    return TASKS[key].format(row, stream(seed, "tests"))


def draws(key, row, times=60):
    """Examples of one row, for as many seeds."""
    return [form(key, row, seed) for seed in range(times)]


def proposal(text, candidates):
    """The choice that a text proposes (its last block but one), and the text without it."""
    head, _, question = text.rpartition("\n\n")
    found = [c for c in candidates if head.endswith(f": {c}")]
    assert len(found) == 1, text
    return found[0], (head.removesuffix(found[0]), question)


class Reads(dict):
    """A row that writes down what is read of it."""

    def __getitem__(self, column):
        self.read.add(column)
        return super().__getitem__(column)


def one_line(caught):
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_registry_names_the_right_repositories_and_splits(subtests):
    facts = {}
    for line in FACTS.strip().splitlines():
        key, *facts[key] = [None if word == "-" else word for word in line.split()]
    assert list(TASKS) == sorted(TASKS) == sorted(facts) == sorted(ROWS)
    assert len(TASKS) == 25
    for key, task in TASKS.items():
        with subtests.test(key):
            splits = ["+".join(task.train), "+".join(task.test) or None]
            found = [task.hub, task.config, task.data_dir, task.revision, *splits, task.group]
            assert found == facts[key]
            assert task.held_out == (0 if task.test else 3000)
    assert len(PAPER) == 19
    with pytest.raises(TypeError):
        TASKS["mine"] = TASKS["sst2"]


def test_listing_the_tasks_loads_no_package():
    code = (
        "import sys; import w2s.data.tasks, w2s.data.own_tasks\n"
        "heavy = {'numpy', 'pandas', 'pyarrow', 'torch', 'datasets', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout.strip() == "[]"


def test_every_column_is_read_and_every_field_that_is_asked_about_is_shown(subtests):
    for key, task in TASKS.items():
        with subtests.test(key):
            row, twin = Reads(ROWS[key]), stream(0)
            row.read = set()
            rng = stream(0)
            text, label = task.format(row, rng)
            examples = [task.format(row, rng) for _ in range(20)]  # equal states give equal ones
            assert [task.format(row, twin) for _ in range(21)] == [(text, label), *examples]
            group = {task.group} - {None}
            assert row.read | group == set(task.columns)
            assert group <= row.read  # what is shared is shown
            *blocks, question = text.split("\n\n")
            assert re.fullmatch(r"(Is|Does|Do) .+\?", question)
            assert re.match(r"[A-Z][a-z]+( [a-z0-9]+)?:", text)
            for column in CONTEXT[key].split():
                value = ROWS[key][column]
                value = "\n".join(map(str.strip, value)) if isinstance(value, list) else value
                for part in value.split("[SEP]"):
                    assert [b for b in blocks if b.partition(": ")[2] == part.strip()], column


def test_label_of_the_row_is_the_label_and_the_text_does_not_tell_it(subtests):
    for key, (row, column, labels) in LABELLED.items():
        with subtests.test(key):
            assert set(labels.values()) == {0, 1}
            texts = set()
            for (value, label), seed in product(labels.items(), range(3)):  # nothing is drawn
                for kind in [value] if key == "boolq" else [value, np.int64(value), str(value)]:
                    text, found = form(key, {**row, column: kind}, seed)
                    assert (found, type(found)) == (label, int)
                    texts.add(text)
            assert len(texts) == 1


def test_label_says_whether_the_shown_choice_is_right_and_nothing_else_tells_it(subtests):
    for key, cases in CHOSEN.items():
        for row, right, others in cases:
            with subtests.test(key, right=right):
                rests = {0: set(), 1: set()}
                shown = set()
                for text, label in draws(key, row):
                    choice, rest = proposal(text, [right, *others])
                    assert label == (choice == right)
                    shown.add(choice)
                    rests[label].add(rest)
                assert shown == {right, *others}  # every wrong one, at some seed
                assert rests[0] == rests[1]
                assert len(rests[1]) == 1


def test_half_are_right_and_wrong_ones_are_equally_likely(subtests):
    for key, cases in CHOSEN.items():
        row, right, others = cases[0]
        rng, times = stream(1), 2000
        shown = Counter()
        for _ in range(times):
            text, _ = TASKS[key].format(row, rng)
            shown[proposal(text, [right, *others])[0]] += 1
        chances = {right: 0.5, **{other: 0.5 / len(others) for other in others}}
        for choice, chance in chances.items():
            with subtests.test(key, choice=choice):  # within 4 standard errors
                error = (chance * (1 - chance) / times) ** 0.5
                assert abs(shown[choice] / times - chance) < 4 * error


def test_the_more_pleasant_scenario_comes_first_in_half_of_the_pairs():
    first = "Scenario 1: I won a prize.\n\nScenario 2: I won nothing."
    second = "Scenario 1: I won nothing.\n\nScenario 2: I won a prize."
    question = "\n\nIs scenario 1 more pleasant than scenario 2?"
    found = Counter(draws("ethics-utilitarianism", UTILITY, 1000))
    assert set(found) == {(first + question, 1), (second + question, 0)}
    assert abs(found[first + question, 1] - 500) < 4 * 250**0.5


LISTED = {"social_i_qa": "Choices", "cosmos_qa": "Choices", "openbookqa": "Choices",
          "hellaswag": "Continuations"}  # fmt: skip


def test_choices_are_listed_in_their_order_or_not_at_all(subtests):
    for key, cases in CHOSEN.items():
        with subtests.test(key):
            if key in LISTED:
                blocks = form(key, cases[0][0])[0].split("\n\n")
                block = next(b for b in blocks if b.startswith(f"{LISTED[key]}:\n"))
                assert block.split("\n- ")[1:] == ANSWERED[key][3]
                continue
            for row, _, others in cases:
                right = [text for text, label in draws(key, row) if label]
                assert not [text for text in right if f"- {others[0]}" in text or "Choices" in text]


GOLDEN = {
    "anli-r2": [
        "Premise: Ann owns\na dog.", "Hypothesis: Ann has a pet.",
        "Does the premise entail the hypothesis?",
    ],
    "dream": [
        "Dialogue: M: Tea?\nW: No, coffee.", "Question: What will she drink?",
        "Proposed answer: Coffee.", "Is the proposed answer right?",
    ],
    "cosmos_qa": [
        "Context: I saw the band.", "Question: Why?",
        "Choices:\n- None of the above choices .\n- I like music .\n- I was lost .\n- I hate it .",
        "Proposed answer: None of the above choices .", "Is the proposed answer right?",
    ],
    "anthropic_hh": [
        "Dialogue: Human: Hi", "Assistant: Hello!", "Is this the dialogue that people preferred?",
    ],
    "ethics-virtue": [
        "Scenario: Jo gave the coat away.", "Trait: generous",
        "Does the behaviour in the scenario show this trait?",
    ],
    "amazon_polarity": ["Title: Great", "Review: It works.", "Is this review positive?"],
    "wic": [
        "Sentence 1: The river bank.", "Sentence 2: A bank loan.", "Word: bank",
        "Does the word have the same meaning in both sentences?",
    ],
}  # fmt: skip


def test_whole_text(subtests):
    for key, blocks in GOLDEN.items():
        with subtests.test(key):
            examples = draws(key, ROWS[key])
            texts = {text for text, label in examples if label or key in LABELLED}
            assert texts == {"\n\n".join(blocks)}


UNLABELED = {  # what test splits hold where the label is
    "hellaswag": ["", None], "social_i_qa": ["", "-1"], "cosmos_qa": [-1], "piqa": [-1],
    "quail": [-1, None], "dream": ["", None], "quartz": ["", None], "openbookqa": ["", None],
    **{key: [None] if key == "boolq" else [-1, None, ""] for key in LABELLED},
}  # fmt: skip
NEEDED = CONTEXT | {  # fields without which nothing can be asked
    "dream": "question", "amazon_polarity": "content", "piqa": "goal sol1 sol2",
    "sciq": "question correct_answer", "sciq_with_support": "question correct_answer support",
    "anthropic_hh": "chosen rejected", "cosmos_qa": "context question answer0",
}  # fmt: skip


def test_rows_without_a_label_or_a_field_are_left_out(subtests):
    for key, task in TASKS.items():
        left_out = {column: ["", " \n", None] for column in NEEDED[key].split()}
        if key in UNLABELED:
            left_out[(ANSWERED | LABELLED)[key][1]] = UNLABELED[key]
        with subtests.test(key):
            assert set(left_out) <= set(task.columns)
            for column, values in left_out.items():
                for value in values:
                    found = draws(key, {**ROWS[key], column: value}, 10)
                    assert found == [None] * 10, (column, value)


def test_other_rows_that_cannot_be_used(subtests):
    for key, changes in [
        ("dream", {"dialogue": []}),
        ("dream", {"dialogue": [" "]}),
        ("anthropic_hh", {"chosen": "Human: Hi", "rejected": "Human: Hi "}),
        ("ethics-utilitarianism", {"baseline": "a", "less_pleasant": "a"}),
        ("quail", {"answers": ["Eve", "Eve", "", "Eve "]}),
        ("ethics-virtue", {"scenario": "[SEP] kind"}),
        ("ethics-virtue", {"scenario": "He sang. [SEP] "}),
    ]:
        with subtests.test(key, **changes):
            assert form(key, {**ROWS[key], **changes}) is None


def test_an_empty_turn_or_title_is_not_shown():
    row = {**ROWS["dream"], "dialogue": ["M: Tea?", " ", "W: No."]}
    assert form("dream", row)[0].startswith("Dialogue: M: Tea?\nW: No.\n\nQuestion: ")
    for title in ("", None, "  "):
        row = {"title": title, "content": "It works.", "label": 1}
        assert form("amazon_polarity", row) == ("Review: It works.\n\nIs this review positive?", 1)


def test_a_choice_that_reads_like_the_right_one_is_never_wrong():
    row = {**HELLASWAG, "endings": ["eats.", "sings.", "sings. ", "sings."], "label": "2"}
    for text, label in draws("hellaswag", row):
        assert label == ("continuation: sings." in text)
        assert text.count("- sings.") == 1


MALFORMED = [
    ("anli-r2", "label", [3], "a whole number from 0 to 2"),
    ("cola", "label", [2, -2, True], "a whole number from 0 to 1"),
    ("sst2", "label", [1.0, "positive"], "a whole number from 0 to 1"),
    ("multirc", "label", [[1]], "a whole number from 0 to 1"),
    ("boolq", "answer", [1, "true"], "true or false"),
    ("boolq", "passage", [["a", "b"]], "a text"),
    ("hellaswag", "label", ["4", "x"], "a whole number from 0 to 3"),
    ("hellaswag", "endings", ["drops it."], "a list of texts"),
    ("hellaswag", "endings", [[1, 2]], "a text"),
    ("hellaswag", "endings", [[]], "at least one choice"),
    ("social_i_qa", "label", ["0", "4"], "a whole number from 1 to 3"),
    ("social_i_qa", "answerB", [3], "a text"),
    ("cosmos_qa", "label", [4], "a whole number from 0 to 3"),
    ("piqa", "label", [2], "a whole number from 0 to 1"),
    ("quail", "correct_answer_id", [4], "a whole number from 0 to 3"),
    ("dream", "answer", ["Wine."], "one of the choices ['Tea.', 'Coffee.', 'Milk.']"),
    ("dream", "dialogue", ["M: Tea?"], "a list of texts"),
    ("dream", "choice", [None], "a list of texts"),
    ("openbookqa", "answerKey", ["E"], "one of A, B, C, D"),
    ("openbookqa", "choices", [["a", "b"]], "lists 'text' and 'label'"),
    ("openbookqa", "choices", [{"text": ["a"], "label": ["A", "B"]}], "a different letter for"),
    ("quartz", "choices", [{"text": ["a", "b"], "label": ["A", "A"]}], "a different letter for"),
    ("quartz", "answerKey", [0], "a text"),
    ("wic", "word", [7], "a text"),
    ("ethics-virtue", "scenario", ["Jo gave\nthe coat away."], "a text with [SEP] in it"),
    ("sciq", "distractor3", [{}], "a text"),
    ("anthropic_hh", "rejected", [[{"role": "user"}]], "a text"),
    ("ethics-utilitarianism", "baseline", [1], "a text"),
]


def test_row_that_is_not_as_promised_is_refused(subtests):
    for key, column, values, expected in MALFORMED:
        for value in values:
            with subtests.test(key, column=column, value=value):
                with pytest.raises(DataError) as caught:
                    form(key, {**ROWS[key], column: value})
                message = one_line(caught)
                assert message.startswith(f"column '{column}': found ")
                assert f", expected {expected}" in message


def test_every_column_must_be_there_with_a_value_that_columns_hold(subtests):
    for key, task in TASKS.items():
        for column in task.columns:
            with subtests.test(key, column=column):
                with pytest.raises(DataError, match=f"^column '{column}': found 0.5, expected"):
                    form(key, {**ROWS[key], column: 0.5})
                row = {name: value for name, value in ROWS[key].items() if name != column}
                missing = f"^column '{column}': found columns .*, expected"
                with pytest.raises(DataError, match=missing):
                    form(key, row)


def test_long_values_are_cut_and_stay_on_one_line():
    with pytest.raises(DataError) as caught:
        form("dream", {**ROWS["dream"], "choice": ["a long\nchoice " * 30], "answer": "b " * 999})
    assert len(one_line(caught)) < 250


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["-1", "0", "1", "3", "A", "B", "[SEP]", "Tea."]) | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=4)
    | st.fixed_dictionaries({"text": st.lists(inner, max_size=4), "label": st.lists(inner)}),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=2500)
@given(key=st.sampled_from(sorted(TASKS)), data=st.data())
def test_any_row_gives_an_example_or_nothing_or_one_line(key, data):
    changed = data.draw(st.dictionaries(st.sampled_from(TASKS[key].columns), ANYTHING, max_size=3))
    found, told = None, "column 'x': found nothing, expected nothing"
    try:
        found = form(key, {**ROWS[key], **changed}, data.draw(st.integers(0, 9)))
    except DataError as error:
        told = str(error)
    assert re.fullmatch(r"column '\w+': found .+, expected .+", told)
    if found is not None:
        text, label = found
        assert text.strip() == text != ""
        assert type(label) is int
        assert label in (0, 1)


@given(
    right=st.text(max_size=6),
    others=st.lists(st.text(max_size=6), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_a_choice_is_shown_exactly_when_right_and_wrong_can_be_told(right, others, seed):
    columns = {"q": "why", "right": right, **{f"o{i}": text for i, text in enumerate(others)}}
    ask = multiple_choice({"Q": "q"}, right_and_wrong(*list(columns)[1:]), "Well?", proposed="A")
    found = ask(columns, stream(seed))
    wrong = {text.strip() for text in others} - {right.strip(), ""}
    assert (found is not None) == bool(right.strip() and wrong)
    if found is not None:
        shown = {right.strip()} if found[1] else wrong
        assert found[0] in {f"Q: why\n\nA: {text}\n\nWell?" for text in shown}


def test_halves_are_at_the_last_mark():
    row = {"scenario": "a [SEP] b [SEP] c"}
    assert before("scenario", "[SEP]")(row) == "a [SEP] b"
    assert after("scenario", "[SEP]")(row) == "c"


# what a task may be

MINE = Task(
    summary="Is it spam?",
    hub="me/spam",
    columns=("mail", "label"),
    label="spam",
    format=yes_no({"Mail": "mail"}, "Is it spam?", is_class("label")),
)


def test_task_that_contradicts_itself_is_refused(subtests):
    for name, values, expected in [
        ("summary", ["", "two\nlines"], "one line of text"),
        ("label", [None], "one line of text"),
        ("hub", ["spam", "a/b/c", "/spam"], "OWNER/NAME"),
        ("config", [""], "one line of text, or None"),
        ("revision", [None], "one line of text"),
        ("columns", ["mail", ["mail", "label"], ("mail", "mail")], "a tuple of different names"),
        ("columns", [()], "at least one name"),
        ("train", [()], "at least one name"),
        ("train", ["train"], "a tuple of different names"),
        ("test", [("train",)], "splits that `train` has not"),
        ("test", [()], "exactly one of `test`"),
        ("held_out", [5], "exactly one of `test`"),
        ("held_out", [-1, True, 0.5], "a number of rows"),
        ("group", ["thread"], "one of `columns`"),
        ("format", ["text"], "a function"),
    ]:
        for value in values:
            with subtests.test(name, value=value):
                with pytest.raises(DataError) as caught:
                    replace(MINE, **{name: value})
                message = one_line(caught)
                assert message.startswith("task of ")
                assert f"expected {expected}" in message
    task = replace(MINE, test=(), held_out=100, train=("train", "test"))
    assert (task.test, task.held_out) == ((), 100)


# tasks of the user's own: files

FILE = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar

from w2s.data.task import Task

@dataclass(frozen=True)
class Words:
    known: ClassVar[int] = 1
    column: str

    def __call__(self, row, rng):
        return row[self.column], int(rng.random() < 0.5)

TASKS = {
    "my-task": Task(summary="A task", hub="me/mine", columns=("text",), label="so it is",
                    format=Words("text")),
}
"""


def write(folder, content, name="my_tasks.py"):
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_file_of_the_user(tmp_path):
    tasks = load_tasks(write(tmp_path, FILE))
    assert list(tasks) == ["my-task"]
    assert tasks["my-task"].hub == "me/mine"
    text, label = tasks["my-task"].format({"text": "hello"}, stream(0))
    assert (text, label in (0, 1)) == ("hello", True)
    assert [path.name for path in tmp_path.iterdir()] == ["my_tasks.py"]  # no __pycache__
    for name in ("task-a", "task-b", "task-c"):  # an edit of the same length counts at once
        assert list(load_tasks(write(tmp_path, FILE.replace("my-task", name)))) == [name]


def test_files_of_one_name_do_not_meet(tmp_path):
    kinds = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tasks = load_tasks(write(tmp_path / name, FILE.replace("my-task", name)))
        kinds.append(type(tasks[name].format))
    assert kinds[0].__module__ != kinds[1].__module__


def test_what_is_not_a_table_of_tasks_is_told_in_one_line(tmp_path, subtests):
    for content, told, cause in [
        ("", ": found no TASKS, expected TASKS = {KEY: Task(...)}", None),
        ("TASKS = []", ", TASKS: found [], expected {KEY: Task(...)}", None),
        ("TASKS = {'a': 1}", ", TASKS: found 1 for 'a', expected a Task", None),
        ("TASKS = {1: 1}", ", TASKS: found the key 1, expected a name", None),
        (FILE.replace("my-task", "sst2"),
         ", TASKS: found 'sst2', expected a name that is not taken", None),
        ("x = 1\nraise ValueError('bad\\nnews')",
         ", line 2: found ValueError: bad news, expected a file that runs", ValueError),
        ("\nimport no_such_module_of_anyone", ", line 2: found ModuleNotFoundError: ", ImportError),
        ("TASKS = {", ", line 1: found SyntaxError: ", SyntaxError),
        ("def f():\n    return g\nTASKS = f()", ", line 2: found NameError: ", NameError),
        (FILE.replace("me/mine", "mine"), ", line 17: found DataError: task of 'mine'", DataError),
        (None, ": found no file, expected Python with TASKS = {...}", None),
    ]:  # fmt: skip
        paths = [tmp_path, tmp_path / "none.py"] if content is None else [write(tmp_path, content)]
        for path in paths:
            with subtests.test(content, path=path.name):
                with pytest.raises(DataError) as caught:
                    load_tasks(path)
                assert one_line(caught).startswith(f"{path}{told}")
                found = caught.value.__cause__
                assert found is None if cause is None else isinstance(found, cause)


def test_a_mistake_in_a_format_of_the_users_own_is_one_line(tmp_path, subtests):
    for made, told in [
        ("row['nothing'], 1", r"_tasks.py, line \d+: found KeyError: 'nothing', expected `format`"),
        ("1 / 0", r"y_tasks.py, line \d+: found ZeroDivisionError: division by zero, expected"),
        ("row", "found {'text': 'hello'} of `format`, expected .text, 0 or 1., or None"),
        ("('x',)", "found .'x',. of `format`"),
        ("['x', 1]", "found .'x', 1. of `format`"),
        ("(b'x', 1)", "found .b'x', 1. of `format`"),
        ("('x', 2)", "found .'x', 2. of `format`"),
        ("('x', '1')", "found .'x', '1'. of `format`"),
        ("('x', None)", "found .'x', None. of `format`"),
        ("('x', float('nan'))", "found .'x', nan. of `format`"),
    ]:
        mine = f"""from w2s.data.task import Task
def f(row, rng):
    return {made}
TASKS = {{'m': Task('a', 'me/m', ('text',), 'yes', f)}}
"""
        task = load_tasks(write(tmp_path, mine))["m"]
        with subtests.test(made):
            with pytest.raises(DataError, match=told) as caught:
                example_of(task, {"text": "hello"}, stream(0))
            one_line(caught)


def test_a_format_may_give_any_number_that_is_1():
    for label in (1, True, 1.0, np.int64(1), np.True_):
        task = replace(MINE, format=lambda row, rng, label=label: ("x", label))
        assert example_of(task, {}, stream(0)) == ("x", 1)


def test_errors_of_the_users_own_classes_come_out_whole(tmp_path):
    path = write(tmp_path, "class Mine(Exception): pass\nraise Mine('so')")
    with pytest.raises(Exception, match="so") as caught:
        load_tasks(path)
    assert type(caught.value).__name__ == "Mine"
    assert str(caught.traceback[-1].path) == str(path)
