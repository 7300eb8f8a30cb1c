"""From photographs to unit vectors: preparation, inference engines, and several processes."""
