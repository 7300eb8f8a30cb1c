"""The sections of a run's report that are made from its rankings, embeddings and logs; no torch."""
