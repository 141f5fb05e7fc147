"""The page of a run: what is noted of each video while it runs, and the file made of it."""
