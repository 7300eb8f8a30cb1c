"""What is told of finished runs: reports and comparisons, as pages and files."""
