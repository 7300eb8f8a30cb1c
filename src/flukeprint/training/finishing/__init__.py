"""What a training ends with: its fold measured, all photographs learned, an identifier kept."""
