"""`python -m flukeprint` is the command `flukeprint`."""

from flukeprint.cli import main

if __name__ == "__main__":
    main()
