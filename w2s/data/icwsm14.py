"""ICWSM-14: sentences of four domains with human sentiment ratings (Hutto and Gilbert, 2014)."""

from __future__ import annotations

from w2s.data.rows import Rows
from w2s.errors import DataError

GROUPED = frozenset({"amazonReviewSnippets", "nytEditorialSnippets"})  # ids are DOCUMENT_SENTENCE
ARCHIVE = "hutto_ICWSM_2014.tar.gz"  # inside the package, holds <part>_GroundTruth.txt

LARGEST = 4  # of the ratings, either way


def _rating(text: str) -> float:
    """The number, or NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def parse_icwsm14(text: str, *, part: str, min_rating: float) -> Rows:
    """Sentences whose mean rating is clearly positive (label 1) or clearly negative (label 0).

    Args:
        text: Content of `<part>_GroundTruth.txt`: lines of id, mean of 20 ratings in [-4, 4], and
            sentence, separated by tabs, without header or quoting.
        part: The domain; amazon and nyt sentences get their document as group.
        min_rating: Sentences with |rating| below this are ambiguous and dropped.

    Raises:
        DataError: a line that is not of this form.
    """
    names, sentences, labels = [], [], []
    ambiguous = 0
    lines = text.removesuffix("\n").split("\n")  # not splitlines: texts hold other line breaks
    for number, line in enumerate(lines, start=1):
        fields = line.removesuffix("\r").split("\t")
        if len(fields) != 3:
            raise DataError(f"{part} line {number}: found {len(fields)} fields, expected 3")
        rating = _rating(fields[1])
        if not abs(rating) <= LARGEST:
            raise DataError(
                f"{part} line {number}: found rating '{fields[1]}', expected -4 to {LARGEST}"
            )
        if abs(rating) < min_rating:
            ambiguous += 1
            continue
        names.append(fields[0])
        sentences.append(fields[2])
        labels.append(int(rating > 0))
    groups = [name.split("_")[0] for name in names] if part in GROUPED else None
    return Rows(names, sentences, labels, groups, None, {"ambiguous": ambiguous})
