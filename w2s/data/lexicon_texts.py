"""What lexicons read in the place of a text: signs they know, words they know.

The lexicons know the apostrophe and the hyphen of a typewriter only, so these are put in the place
of typographic ones for every labeling function. The rest changes votes on plain texts as well, and
is done only where `lexicons: mended` asks for it.
"""

from __future__ import annotations

import re

SIGNS = str.maketrans(
    {**dict.fromkeys("‘’ʼ′＇`´", "'"), **dict.fromkeys("“”„", '"'), **dict.fromkeys("‐‑", "-")}
    | {"\N{SOFT HYPHEN}": None}
)
WHOLE = {"ca": "can", "wo": "will", "sha": "shall", "ai": "is"}  # of can't, won't, shan't, ain't
NOT = re.compile(r"\b(\w+)n't\b(?! stand\b)", re.IGNORECASE)  # AFINN has "can't stand" as it is
COMPOUND = re.compile(r"(?<=\w)-(?=\w)")


def plain(text: str) -> str:
    """The text with typewriter's quotes, apostrophes and hyphens."""
    return text.translate(SIGNS)


def written_out(text: str) -> str:
    """The text with negations in two words, "isn't" as "is not"."""
    return NOT.sub(lambda found: f"{WHOLE.get(found[1].lower(), found[1])} not", text)


def apart(text: str, known: frozenset[str]) -> str:
    """The text with compounds in parts, "feel-good" as "feel good", but for known ones."""
    return " ".join(
        word if word.strip(".,;:!?\"'()").lower() in known else COMPOUND.sub(" ", word)
        for word in text.split(" ")
    )
