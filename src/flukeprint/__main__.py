"""Runs the command line as `python -m flukeprint`."""

from flukeprint.cli import main

if __name__ == "__main__":
    main()
