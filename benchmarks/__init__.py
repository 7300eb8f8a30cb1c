"""Measurements of flukeprint's accuracy, speed and service; README.md lists the commands."""
