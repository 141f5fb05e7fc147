"""What a teacher answered, to look at and in numbers."""
