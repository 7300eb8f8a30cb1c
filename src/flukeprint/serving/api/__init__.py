"""The HTTP API under `/v1`: routes, bodies, refusals and middleware."""
