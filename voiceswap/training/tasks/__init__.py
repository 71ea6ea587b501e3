"""One file a model: its batches, phases and losses."""
