"""Scores of label maps, and what they are added up from."""
