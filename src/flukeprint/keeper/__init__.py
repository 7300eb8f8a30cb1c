"""A catalogue kept over the years: an identifier together with the records of its animals."""
