"""Everything that looks at right answers: fitting, metrics, validation, comparison, plots."""
