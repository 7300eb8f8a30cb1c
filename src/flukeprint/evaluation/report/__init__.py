"""The page of a run: what each section shows, as charts, tables and pictures; no torch."""
