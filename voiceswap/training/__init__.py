"""Training: one loop, and one task a model."""
