"""Self-supervised training of the backbone, before it learns identities."""
