"""Reviews: a page on which a person decides whom photographs show, and what becomes of it."""
