"""Activations one text at a time: all hidden states stacked, then the wanted token of the last."""

import numpy as np
import torch


@torch.inference_mode()
def one_by_one(model, texts, *, pooling):
    """Pooled last hidden states (n, d) of token id lists."""
    rows = []
    for tokens in texts:
        ids = torch.as_tensor(np.asarray(tokens, dtype=np.int64))[None]
        output = model(input_ids=ids, output_hidden_states=True)
        stacked = torch.stack(output.hidden_states)  # (layers + 1, 1, t, d), as the original does
        hidden = stacked[-1, 0]
        rows.append((hidden[-1] if pooling == "last" else hidden.mean(0)).numpy())
    return np.stack(rows)
