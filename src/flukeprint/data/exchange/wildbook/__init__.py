"""Wildbook: encounters of its exports read, and the spreadsheets of its bulk import written."""
