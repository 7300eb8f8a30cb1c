"""Synthetic photographs, drawn to try the pipeline and to test it without real ones."""
