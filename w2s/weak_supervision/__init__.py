"""Weak supervision: labeling functions, label models, and students on their labels."""
