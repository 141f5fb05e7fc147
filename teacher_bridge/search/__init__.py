"""Where the teacher is prompted, and the tracks that follow."""
