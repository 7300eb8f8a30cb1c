"""Commands that are too many for `cli.py`: they parse, call one function and print."""
