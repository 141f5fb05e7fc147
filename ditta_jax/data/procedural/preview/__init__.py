"""Contact sheet of the procedural data, to look at. Not in the wheel."""
