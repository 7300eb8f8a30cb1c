"""Sections of a run's report on its studies: verification, distractors, metrics, few shots."""
