"""A procedural, densely labelled street video generator and its TFDS builder."""
