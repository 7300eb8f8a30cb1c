"""Sections of a run's report for the siamese lab: runs on pairs, and catalogues of few classes."""
