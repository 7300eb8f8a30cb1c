"""The configuration: its schema with every default, and reading it from YAML and `key=value`."""
