"""Formats of photographs: which are read, and pixels that Pillow reads wrongly or not at all."""
