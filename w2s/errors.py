"""Errors a user can cause. The command line prints each as one line and exits with code 2."""

from __future__ import annotations


class W2SError(Exception):
    """A mistake in the input: the message says what, what was found, and what was expected."""

    @property
    def lines(self) -> list[str]:
        """The message as it is shown: one line, whatever signs it quotes."""
        return [visible(str(self))]


class ConfigError(W2SError):
    """A setting is unknown, has a value outside its range, or contradicts another one."""

    @property
    def lines(self) -> list[str]:
        """The message as it is shown: one line for each mistake."""
        return [visible(line) for line in str(self).split("\n")]


class DataError(W2SError):
    """A dataset, text file or downloaded package is not what the configuration says."""


class ArtifactError(W2SError):
    """An artifact is missing, damaged, of the wrong kind, or does not fit the other inputs."""


class ForeignFileError(ArtifactError):
    """A whole file of an artifact's format that no stage has written."""


class DegenerateError(W2SError):
    """The input is valid but the quantity is undefined on it (for example: constant confidences).

    Stages record it in their output as an outcome with its reason; the library functions raise it.
    """


def visible(text: str) -> str:
    """Signs that move a terminal's cursor, colour it or end a line, written as Python writes them.

    What file systems and arguments hold beside Unicode (lone surrogates) is written so too.
    """
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
