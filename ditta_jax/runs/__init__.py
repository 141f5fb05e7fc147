"""What a command is made of: work on videos, and the folder of results."""
