"""Other programs' weight files, and where each of their weights goes."""
