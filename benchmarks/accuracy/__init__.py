"""Accuracy of recipes on whole folds, and its reports."""
