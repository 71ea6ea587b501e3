"""The five models: each module holds one, its frozen configuration and its sizes (tiny, base, large)."""
