"""Catalogues of photographs: reading, checking, splitting, decoding, caching; and embeddings."""
