"""The files that mutated inputs are made of: a whole tiny experiment, run once."""

from dataclasses import dataclass
from pathlib import Path

import tiny
from conftest import Chain, chain_jobs, write_boolq

FAMILIES = ("bert", "llama", "qwen2", "gpt2", "roberta")


@dataclass(frozen=True)
class Shared:
    """Files that all cases read and none may change.

    Attributes:
        folder: All of them.
        chain: Every stage run once.
    """

    folder: Path
    chain: Chain

    @property
    def inputs(self):
        """Texts, models, a WRENCH dataset and a local copy of a task."""
        return self.chain.inputs

    @property
    def models(self):
        """A folder of each family."""
        return self.folder / "models"


def find(folder):
    """Those that `write` has written."""
    inputs, made = folder / "inputs", folder / "chain"
    return Shared(folder, Chain(inputs, made, chain_jobs(inputs, made)))


def write(folder):
    """Write them, which takes some minutes at most."""
    shared = find(folder)
    inputs = shared.inputs
    inputs.mkdir(parents=True)
    shared.chain.folder.mkdir()
    tiny.write_dataset(inputs / "texts.csv", n=400)
    tiny.write_model(inputs / "small", "bert")
    tiny.write_model(inputs / "large", "llama")
    tiny.write_wrench(inputs / "wrench")
    write_boolq(inputs / "boolq")
    for family in FAMILIES:
        tiny.write_model(shared.models / family, family)
    tiny.write_dataset(folder / "few.csv", n=24, groups=True, splits=True)
    tiny.write_wrench(folder / "votes", n=18, features=False)
    shared.chain.run()
    return shared
