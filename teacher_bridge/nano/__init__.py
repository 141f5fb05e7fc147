"""A nano SAM 2 of our own: its configuration, its weights, and how they are loaded."""
