"""Keeps the import path of earlier versions; write `from flukeprint import Identifier`."""

from flukeprint.identifier.identifier import Identifier as Identifier
