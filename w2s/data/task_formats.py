"""From a row to a text and a label: a question that is answered by yes (1) or no (0).

A text has blocks with a blank line between them: `NAME: VALUE` for each field, and the question at
the end, where a model reads it after all it is about. The original code asks most tasks the same
questions in other words, and shows single sentences without any. Where more than the words differs,
the table of tasks says so. A value that is not what a dataset promises is told in one line
(DataError): text without the white space at its ends, whole numbers also as text ("0").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

from w2s.data.task import Row, shown
from w2s.errors import DataError

if TYPE_CHECKING:
    import numpy as np
UNLABELED = -1  # what test splits without labels hold; others hold "" or nothing
IS_RIGHT = "Is the proposed answer right?"
Format = Callable[[Row, "np.random.Generator"], tuple[str, int] | None]
Field = str | Callable[[Row], str]  # a column of text, or a text made of the row
Truth = Callable[[Row], int | None]  # whether the question of a row is answered by yes


@dataclass(frozen=True)
class Options:
    """The choices of a row."""

    right: str  # one of the texts
    texts: tuple[str, ...]  # all choices, in the order of the dataset


Choices = Callable[[Row], Options | None]  # None for a row that does not say which one is right


def wrong(column: str, value: object, expected: str) -> DataError:
    """The error of a value that is not what the dataset promises."""
    return DataError(f"column '{column}': found {shown(value)}, expected {expected}")


def value_of(row: Row, column: str) -> Any:
    """The value of a column, which every row must have."""
    if column not in row:
        found = shown(", ".join(map(str, row)))
        raise DataError(f"column '{column}': found columns {found}, expected it among them")
    return row[column]


def text_of(row: Row, column: str) -> str:
    """A column of text; a missing value is an empty text, any other is refused."""
    return _text(value_of(row, column), column)


def _text(value: Any, column: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(column, value, "a text")
    return value.strip()


def texts_of(row: Row, column: str) -> tuple[str, ...]:
    """A column of lists of texts; any other value is refused."""
    return _texts(value_of(row, column), column)


def _texts(value: Any, column: str) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise wrong(column, value, "a list of texts")
    return tuple(_text(item, column) for item in value)


def number_of(row: Row, column: str, *, first: int, count: int) -> int | None:
    """A column of `count` whole numbers from `first` on, counted from 0; others are refused.

    None for a row without a label.
    """
    value = value_of(row, column)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    written = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value.strip())
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    number = int(value) if whole or written else None
    if number == UNLABELED:
        return None
    if number is None or not first <= number < first + count:
        raise wrong(column, value, f"a whole number from {first} to {first + count - 1}")
    return number - first


def is_class(column: str, positive: int = 1, *, of: int = 2) -> Truth:
    """Label 1 for one class of a column of `of` whole numbers from 0, label 0 for the others."""

    def truth(row: Row) -> int | None:
        found = number_of(row, column, first=0, count=of)
        return None if found is None else int(found == positive)

    return truth


def is_true(column: str) -> Truth:
    """The label in a column of true and false."""

    def truth(row: Row) -> int | None:
        value = value_of(row, column)
        if value is not None and not isinstance(value, bool):
            raise wrong(column, value, "true or false")
        return None if value is None else int(value)

    return truth


def numbered(columns: str | tuple[str, ...], label: str, *, first: int = 0) -> Choices:
    """Choices of which a column tells the number of the right one.

    Args:
        columns: One column with a list of texts, or a column for each choice.
        label: The column with the number.
        first: The number of the first choice.
    """

    def choices(row: Row) -> Options | None:
        if isinstance(columns, str):
            texts = texts_of(row, columns)
            if not texts:
                raise wrong(columns, [], "at least one choice")
        else:
            texts = tuple(text_of(row, column) for column in columns)
        number = number_of(row, label, first=first, count=len(texts))
        return None if number is None else Options(texts[number], texts)

    return choices


def lettered(column: str, key: str) -> Choices:
    """Choices in a column of `{"text": [...], "label": [...]}`; `key` has the right one's label."""

    def choices(row: Row) -> Options | None:
        value = value_of(row, column)
        if not isinstance(value, Mapping) or not {"text", "label"} <= set(value):
            raise wrong(column, value, "lists 'text' and 'label'")
        texts, letters = _texts(value["text"], column), _texts(value["label"], column)
        if len(texts) != len(letters) or len(set(letters)) != len(letters):
            raise wrong(column, value, "a different letter for each text")
        letter = text_of(row, key)
        if letter and letter not in letters:
            raise wrong(key, letter, f"one of {', '.join(letters)}")
        return Options(texts[letters.index(letter)], texts) if letter else None

    return choices


def quoted(column: str, answer: str) -> Choices:
    """Choices in a column with a list of texts, of which `answer` repeats the right one."""

    def choices(row: Row) -> Options | None:
        texts, right = texts_of(row, column), text_of(row, answer)
        if right and right not in texts:
            raise wrong(answer, right, f"one of the choices {shown(list(texts))}")
        return Options(right, texts) if right else None

    return choices


def right_and_wrong(right: str, *others: str) -> Choices:
    """Choices of which one column has the right one, and the others have wrong ones."""

    def choices(row: Row) -> Options | None:
        texts = tuple(text_of(row, column) for column in (right, *others))
        return Options(texts[0], texts)

    return choices


def lines(column: str) -> Field:
    """A column with a list of texts, one on each line; empty ones are left out."""
    return lambda row: "\n".join(filter(None, texts_of(row, column)))


def before(column: str, mark: str) -> Field:
    """The text before the last mark in a column; a text without the mark is refused."""
    return lambda row: _halves(row, column, mark)[0]


def after(column: str, mark: str) -> Field:
    """The text after the last mark in a column; a text without the mark is refused."""
    return lambda row: _halves(row, column, mark)[1]


def _halves(row: Row, column: str, mark: str) -> tuple[str, str]:
    text = text_of(row, column)
    if text and mark not in text:
        raise wrong(column, text, f"a text with {mark} in it")
    first, _, last = text.rpartition(mark)
    return first.strip(), last.strip()


LABEL = is_class("label")  # what most datasets have


def yes_no(
    fields: Mapping[str, Field],
    question: str,
    truth: Truth = LABEL,
    *,
    optional: tuple[str, ...] = (),
) -> Format:
    """A question that the row's own label, which `truth` reads, answers.

    The text shows `fields` by the names they have there, in their order, and the question. Those of
    `optional` are left out where they are empty; a row where another is empty cannot be used.
    """

    def form(row: Row, rng: np.random.Generator) -> tuple[str, int] | None:
        label = truth(row)
        given = _blocks(row, fields, optional)
        return None if label is None or given is None else ("\n\n".join([*given, question]), label)

    return form


@dataclass(frozen=True)
class MultipleChoice:
    """Whether a proposed answer is right: in one half of the cases it is.

    A right answer is shown with probability 1/2, else one of the wrong ones, all equally likely.
    Both are shown as texts of a choice and in the same place, so that nothing but the answer tells
    the label. A choice that reads like an earlier one, or that is empty, is not counted. A row
    cannot be used where the right answer is empty or no wrong one is left.

    Attributes:
        fields: As for `yes_no`; all are needed.
        choices, question: Reads the choices; the end of the text.
        proposed, listed: What the text calls the answer, and the list of all (not shown if None).
    """

    fields: Mapping[str, Field]
    choices: Choices
    question: str = IS_RIGHT
    proposed: str = "Proposed answer"
    listed: str | None = None

    def __call__(self, row: Row, rng: np.random.Generator) -> tuple[str, int] | None:
        """The text and the label of one drawn answer."""
        if not (every := self.candidates(row)):
            return None
        label = int(rng.random() < 0.5)
        mine = [made for made in every if made[1] == label]
        return mine[0] if label else mine[int(rng.integers(len(mine)))]

    def candidates(self, row: Row) -> list[tuple[str, int]]:
        """Text and label of every answer, in the dataset's order; none of a row without use."""
        options, given = self.choices(row), _blocks(row, self.fields)
        texts = [text for text in dict.fromkeys(options.texts if options else ()) if text]
        if options is None or given is None or not options.right or len(texts) < 2:
            return []
        if self.listed is not None:
            given.append("\n".join([f"{self.listed}:", *(f"- {text}" for text in texts)]))
        ends = [(f"{self.proposed}: {text}", int(text == options.right)) for text in texts]
        return [("\n\n".join([*given, end, self.question]), label) for end, label in ends]


multiple_choice = MultipleChoice


def first_of_two(better: str, worse: str, *, names: tuple[str, str], question: str) -> Format:
    """Whether the first of the texts of two columns is the better one: in half of the cases it is.

    Rows where the two are equal or one is empty cannot be used; `names` are those of the texts.
    """

    def form(row: Row, rng: np.random.Generator) -> tuple[str, int] | None:
        pair = text_of(row, better), text_of(row, worse)
        if not all(pair) or pair[0] == pair[1]:
            return None
        label = int(rng.random() < 0.5)
        ordered = pair if label else pair[::-1]
        blocks = [f"{name}: {text}" for name, text in zip(names, ordered, strict=True)]
        return "\n\n".join([*blocks, question]), label

    return form


def _blocks(
    row: Row, fields: Mapping[str, Field], optional: tuple[str, ...] = ()
) -> list[str] | None:
    """`NAME: VALUE` of each field, or None where one that is needed is empty."""
    blocks = []
    for name, field in fields.items():
        value = text_of(row, field) if isinstance(field, str) else field(row)
        if value:
            blocks.append(f"{name}: {value}")
        elif name not in optional:
            return None
    return blocks
