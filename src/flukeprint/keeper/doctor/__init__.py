"""The doctor of a catalogue: what in it contradicts itself, for a person to judge."""
