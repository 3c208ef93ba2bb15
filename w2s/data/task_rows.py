"""Reading the columns of a row: texts, labels and choices, or one line on what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from w2s.data.task import Row, shown
from w2s.errors import DataError

UNLABELED = -1  # what test splits without labels hold; others hold "" or nothing


def wrong(column: str, value: object, expected: str) -> DataError:
    """The error of a value that is not what the dataset promises."""
    return DataError(f"column '{column}': found {shown(value)}, expected {expected}")


def value_of(row: Row, column: str) -> Any:
    """The value of a column.

    Raises:
        DataError: the row has no such column.
    """
    if column not in row:
        found = shown(", ".join(map(str, row)))
        raise DataError(f"column '{column}': found columns {found}, expected it among them")
    return row[column]


def text_of(row: Row, column: str) -> str:
    """A column of text without the white space at its ends; a missing value is an empty text.

    Raises:
        DataError: no such column, or a value that is neither text nor missing.
    """
    return _text(value_of(row, column), column)


def _text(value: Any, column: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(column, value, "a text")
    return value.strip()


def texts_of(row: Row, column: str) -> tuple[str, ...]:
    """A column of lists of texts, each without the white space at its ends.

    Raises:
        DataError: no such column, or a value that is not a list of texts.
    """
    return _texts(value_of(row, column), column)


def _texts(value: Any, column: str) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise wrong(column, value, "a list of texts")
    return tuple(_text(item, column) for item in value)


def number_of(row: Row, column: str, *, first: int, count: int) -> int | None:
    """A column of whole numbers, counted from 0; None for a row without a label.

    Some datasets write these numbers as text: "0" is as good as 0.

    Args:
        row: The row.
        column: Its column.
        first: The smallest number.
        count: How many numbers there are.

    Raises:
        DataError: no such column, or a value that is not one of the numbers.
    """
    value = value_of(row, column)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = _whole(value)
    if number == UNLABELED:
        return None
    if number is None or not first <= number < first + count:
        expected = f"a whole number from {first} to {first + count - 1}"
        raise wrong(column, value, expected)
    return number - first


def _whole(value: Any) -> int | None:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value.strip()):
        return int(value)
    return None


Truth = Callable[[Row], int | None]  # whether the question of a row is answered by yes


def is_class(column: str, positive: int = 1, *, of: int = 2) -> Truth:
    """Label 1 for one class of a column of whole numbers from 0, label 0 for the others.

    Args:
        column: The column.
        positive: The class that means label 1.
        of: How many classes there are.
    """

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


@dataclass(frozen=True)
class Options:
    """The choices of a row.

    Attributes:
        right: The right answer, one of `texts`.
        texts: All choices, in the order of the dataset.
    """

    right: str
    texts: tuple[str, ...]


Choices = Callable[[Row], Options | None]  # None for a row that does not say which one is right


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
    """Choices of which a column tells the letter of the right one.

    Args:
        column: The column with `{"text": [...], "label": [...]}`.
        key: The column with one of these labels.
    """

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
    """Choices of which a column repeats the right one.

    Args:
        column: The column with a list of texts.
        answer: The column with one of these texts.
    """

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
