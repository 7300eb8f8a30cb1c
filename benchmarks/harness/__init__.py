"""What the benchmark scripts share: timing, processes, load, random embeddings, plots, options."""
