"""Compares this package with PyTorch on the same weights, clip and step; see `__main__`."""
