"""Catalogues of photographs: reading, checking, splitting and decoding them, and their embeddings."""
