"""From corpora to tensors: lhotse manifests, features computed once, batches."""
