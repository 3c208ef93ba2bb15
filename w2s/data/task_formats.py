"""From a row to a text and a label: a question that is answered by yes (1) or no (0).

A text has blocks with a blank line between them: `NAME: VALUE` for each field, and the question at
the end, where a model reads it after all it is about. The original code asks most tasks the same
questions in other words, and shows single sentences without any. Where more than the words differs,
the tables of tasks say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from w2s.data.task import Row
from w2s.data.task_rows import Choices, Truth, text_of, texts_of, wrong

if TYPE_CHECKING:
    import numpy as np
Format = Callable[[Row, "np.random.Generator"], tuple[str, int] | None]
Field = str | Callable[[Row], str]  # a column of text, or a text made of the row


def yes_no(
    fields: Mapping[str, Field], question: str, truth: Truth, *, optional: tuple[str, ...] = ()
) -> Format:
    """A question that the row's own label answers.

    Args:
        fields: What the text shows, by the name it has there, in its order.
        question: The end of the text.
        truth: Reads the label.
        optional: Names of fields that are left out where they are empty. A row where another
            field is empty cannot be used.
    """

    def form(row: Row, rng: np.random.Generator) -> tuple[str, int] | None:
        label = truth(row)
        given = _blocks(row, fields, optional)
        if label is None or given is None:
            return None
        return _text(given, question), label

    return form


def multiple_choice(
    fields: Mapping[str, Field],
    choices: Choices,
    question: str,
    *,
    proposed: str = "Proposed answer",
    listed: str | None = None,
) -> Format:
    """Whether a proposed answer is right: in one half of the cases it is.

    A right answer is shown with probability 1/2, else one of the wrong ones, all equally likely.
    Both are shown as texts of a choice and in the same place, so that nothing but the answer tells
    the label. A choice that reads like an earlier one, or that is empty, is not counted. A row
    cannot be used where the right answer is empty or no wrong one is left.

    Args:
        fields: What the text shows, by the name it has there, in its order; all are needed.
        choices: Reads the choices.
        question: The end of the text.
        proposed: What the text calls the proposed answer.
        listed: What the text calls the list of all choices, in their order in the dataset; they
            are not shown where there is no name.
    """

    def form(row: Row, rng: np.random.Generator) -> tuple[str, int] | None:
        options = choices(row)
        given = _blocks(row, fields)
        if options is None or given is None:
            return None
        texts = [text for text in dict.fromkeys(options.texts) if text]
        others = [text for text in texts if text != options.right]
        if not options.right or not others:
            return None
        label = int(rng.random() < 0.5)
        shown = options.right if label else others[int(rng.integers(len(others)))]
        if listed is not None:
            given.append("\n".join([f"{listed}:", *(f"- {text}" for text in texts)]))
        return _text([*given, f"{proposed}: {shown}"], question), label

    return form


def first_of_two(better: str, worse: str, *, names: tuple[str, str], question: str) -> Format:
    """Whether the first of two texts is the better one: in one half of the cases it is.

    Rows where the two are equal or one is empty cannot be used.

    Args:
        better: Column with the better text.
        worse: Column with the other one.
        names: What the text calls the first and the second.
        question: The end of the text.
    """

    def form(row: Row, rng: np.random.Generator) -> tuple[str, int] | None:
        pair = text_of(row, better), text_of(row, worse)
        if not all(pair) or pair[0] == pair[1]:
            return None
        label = int(rng.random() < 0.5)
        ordered = pair if label else pair[::-1]
        blocks = [f"{name}: {text}" for name, text in zip(names, ordered, strict=True)]
        return _text(blocks, question), label

    return form


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


def _text(blocks: list[str], question: str) -> str:
    return "\n\n".join([*blocks, question])
