"""Errors a user can cause. The command line prints each as one line and exits with code 2."""

from __future__ import annotations


class W2SError(Exception):
    """A mistake in the input: the message says what, what was found, and what was expected."""


class ConfigError(W2SError):
    """A setting is unknown, has a value outside its range, or contradicts another one."""


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
