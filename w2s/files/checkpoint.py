"""Unfinished trainings on disk: what a killed job left, for the next one to go on with.

A checkpoint is one safetensors file. It is written whole or not at all, and carries the identity of
the training and a checksum of its values; one that does not fit is as good as none.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from w2s.checks import Array
from w2s.errors import ArtifactError
from w2s.files.artifacts import whole

KEY = "w2s"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """The place of a training's state.

    Attributes:
        path: The file, with the ending .safetensors.
        identity: Everything the training depends on; a state of another identity is not used.
    """

    path: Path
    identity: str

    def load(self) -> tuple[dict[str, Array], Any] | None:
        """Arrays by name and the facts beside them; None where there is nothing to go on with."""
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="numpy") as file:
                told = json.loads((file.metadata() or {})[KEY])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            checksum, identity, facts = (told[key] for key in ("checksum", "identity", "facts"))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            log.warning("%s: cannot be read; the training begins anew", self.path.name)
            return None
        if checksum != _checksum(arrays, identity, facts):
            log.warning("%s: differs from its checksum; the training begins anew", self.path.name)
            return None
        return (arrays, facts) if identity == self.identity else None

    def save(self, arrays: Mapping[str, Array], facts: Any) -> None:
        """Replace the state.

        Args:
            arrays: By name.
            facts: A JSON value.

        Raises:
            ArtifactError: the disk is full or read-only.
        """
        checksum = _checksum(arrays, self.identity, facts)
        told = {"identity": self.identity, "checksum": checksum, "facts": facts}
        kept = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        try:
            with whole(self.path) as beside:
                save_file(kept, beside, {KEY: json.dumps(told, sort_keys=True)})
        except SafetensorError as error:
            raise ArtifactError(f"{self.path}: cannot be written ({error})") from None
        except OSError as error:
            raise ArtifactError(f"{self.path}: cannot be written ({error.strerror})") from None


def _checksum(arrays: Mapping[str, Array], *told: Any) -> str:
    sha = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        sha.update(f"{name}\x1f{array.dtype}\x1f{array.shape}\x1e".encode())
        sha.update(array.data)
    return sha.hexdigest()
