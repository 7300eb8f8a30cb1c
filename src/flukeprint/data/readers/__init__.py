"""Readers of data sets, one module for each layout on disk."""
