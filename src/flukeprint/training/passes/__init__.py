"""How a batch passes the network while it learns."""
