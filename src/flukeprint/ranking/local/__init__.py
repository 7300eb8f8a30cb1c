"""Keypoints of photographs, their matching, and what agreement adds to a score."""
