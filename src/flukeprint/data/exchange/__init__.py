"""What other programs of the field write about photographs of animals: one module a format."""
