"""A nano SAM 2 of our own: generator of its training clips, training, evaluation, loading."""
