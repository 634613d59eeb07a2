"""The private EMR: clusters whose steps run."""
