"""Throughput and latency of the web service, and the waiting time of a visitor."""
