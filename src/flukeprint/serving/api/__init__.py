"""The HTTP API under /v1: routes, request and response schemas, and refusals."""
