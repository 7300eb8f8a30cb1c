"""Studies of finished embeddings: verification, distractors, metrics, few shots; no torch."""
