"""Studies of finished runs and of untrained networks: from their folders to figures."""
