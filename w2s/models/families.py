"""What is known of families of models: which texts may share a forward pass or a row."""

from __future__ import annotations

from typing import Any

from w2s.models.forward import Apart

# they know of a token's place from position ids and mask only: each one is tested on packed rows
EXACT = frozenset(
    {"gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "granite", "llama", "mistral", "mixtral"}
    | {"olmo", "olmo2", "opt", "phi", "phi3", "qwen2", "qwen3", "qwen3_moe", "stablelm"}
)
MASKED = ("sdpa", "eager")  # attention that takes any mask; flash attention takes none
FIXED_ROPE = ("default", "linear", "llama3", "yarn")  # angles depend on the position alone
GROWING_ROPE = ("dynamic", "longrope")  # and, for texts beyond the original length, on that length


def refusal(model: Any, longest: int) -> str:
    """Why packed rows of a model would differ from plain batches.

    A sliding window that no text exceeds does no harm: the mask of a row replaces it. Nor does
    rotary scaling by length, up to the original length: it goes by the largest position id.

    Args:
        model: The network, from `transformers`.
        longest: Most tokens of a text.

    Returns:
        One line, or nothing where rows are exact.
    """
    config = model.config
    if config.model_type not in EXACT:
        return f"model type {config.model_type}: not known to be causal in packed rows"
    if config._attn_implementation not in MASKED:
        return f"attention {config._attn_implementation}: takes no mask of ours"
    if getattr(config, "use_bidirectional_attention", None):
        return "use_bidirectional_attention: tokens attend to later ones"
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention"])
    other = sorted(kinds - {"full_attention", "sliding_attention"})
    if other:
        return f"layer type {other[0]}: not known to be exact in packed rows"
    window = getattr(config, "sliding_window", None)
    if window is not None and window < longest and "sliding_attention" in kinds:
        return f"sliding window of {window} tokens: shorter than a text of {longest}"
    return _rope_refusal(config, longest)


def _rope_refusal(config: Any, longest: int) -> str:
    """The part of `refusal` about rotary embeddings."""
    for rope in _ropes(config):
        kind = rope.get("rope_type", "default")
        if kind not in (*FIXED_ROPE, *GROWING_ROPE):
            return f"rotary embedding {kind}: not known to be exact in packed rows"
        original = _original(rope, config)
        if kind in GROWING_ROPE and longest > original:
            return f"rotary embedding {kind}: changes beyond {original} tokens, found {longest}"
    return ""


def _ropes(config: Any) -> list[dict[str, Any]]:
    """Settings of a model's rotary embeddings, of each type of layer or of all."""
    given = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in given.values() if isinstance(value, dict)]  # one per layer type
    return nested or [given]


def _original(rope: dict[str, Any], config: Any) -> int:
    """Tokens up to which a scaled rotary embedding is the one without scaling."""
    given = rope.get("original_max_position_embeddings") or config.max_position_embeddings
    return int(given)


def apart(config: Any) -> Apart | None:
    """Which texts must not share a forward pass, by a model's configuration.

    Scaled rotary embeddings that go by the longest text of a pass change the others in it.
    """
    for rope in _ropes(config):
        if rope.get("rope_type") in GROWING_ROPE:
            return Apart(_original(rope, config), each=rope["rope_type"] == "dynamic")
    return None
