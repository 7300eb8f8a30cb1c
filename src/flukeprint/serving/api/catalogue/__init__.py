"""The catalogue over HTTP: its animals, encounters and history, changes, and the shared queue."""
