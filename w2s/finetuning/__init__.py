"""Fine-tuned models in the place of probes."""
