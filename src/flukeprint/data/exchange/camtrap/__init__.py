"""Camtrap DP, the standard of camera traps, read and written."""
