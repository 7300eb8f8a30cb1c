"""Training a network on a fold: data loading, sampling, optimisation, checks, cross-validation."""
