"""SAM 2's video predictor, opened up for many objects and long videos."""
