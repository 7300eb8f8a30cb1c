"""What the pages show: the facts of a context as elements of HTML."""
