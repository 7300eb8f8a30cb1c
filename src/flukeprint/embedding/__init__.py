"""From photographs to unit vectors: preparation and inference engines."""
