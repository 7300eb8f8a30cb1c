"""Which training photographs make a batch."""
