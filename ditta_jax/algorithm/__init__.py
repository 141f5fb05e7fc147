"""What DiTTA computes: pure functions on arrays, no files and no configuration."""
