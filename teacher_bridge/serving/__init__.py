"""Answers the requests of a cache folder."""
