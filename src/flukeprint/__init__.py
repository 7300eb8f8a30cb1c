"""flukeprint: who is this animal?  Identify individual animals in photographs."""

__version__ = "0.1.0"
