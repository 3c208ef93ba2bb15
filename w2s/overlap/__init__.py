"""The paper: overlap points, mixes, and what students gain from them."""
