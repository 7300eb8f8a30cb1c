"""Whole tables of photographs embedded in partitions, on one machine or on a cluster."""
