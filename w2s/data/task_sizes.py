"""How large the tasks are: what an estimate goes by until the rows themselves are there.

Rows are those of the splits a task reads, as the datasets' pages give them. Tokens are rough: what
a text of the task is expected to have. Nothing but estimates depends on either.
"""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """Rows of both sides, and tokens of a text."""

    train: int
    test: int
    tokens: int


TYPICAL = 100  # tokens of a text of which nothing is known

SIZES: dict[str, Size] = {
    "amazon_polarity": Size(3_600_000, 400_000, 110),
    "anli-r2": Size(45_460, 1_000, 110),
    "anthropic_hh": Size(160_800, 8_552, 220),
    "boolq": Size(9_427, 3_270, 160),
    "cola": Size(8_551, 1_043, 25),
    "cosmos_qa": Size(25_262, 2_985, 130),
    "dream": Size(6_116, 2_041, 190),
    "ethics-deontology": Size(18_164, 3_596, 50),
    "ethics-justice": Size(21_791, 2_704, 50),
    "ethics-utilitarianism": Size(13_738, 4_808, 60),
    "ethics-virtue": Size(28_245, 4_975, 50),
    "hellaswag": Size(39_905, 10_042, 120),
    "mc_taco": Size(9_442, 3_783, 60),
    "multirc": Size(27_243, 4_848, 370),
    "openbookqa": Size(4_957, 500, 50),
    "paws": Size(49_401, 8_000, 80),
    "piqa": Size(16_113, 1_838, 60),
    "quail": Size(10_246, 2_164, 430),
    "quartz": Size(2_696, 784, 80),
    "sciq": Size(10_679, 3_000, 45),
    "sciq_with_support": Size(10_679, 3_000, 150),
    "social_i_qa": Size(33_410, 1_954, 60),
    "sst2": Size(67_349, 872, 30),
    "twitter-sentiment": Size(1_570_000, 10_000, 35),
    "wic": Size(5_428, 638, 50),
}
