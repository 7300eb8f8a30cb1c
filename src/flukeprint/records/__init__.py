"""The records of a catalogue: individuals, encounters, photographs and events, in a database."""
