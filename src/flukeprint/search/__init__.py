"""From unit vectors to the nearest photographs of a gallery, exactly or by an index."""
