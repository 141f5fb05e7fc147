"""The exchange with the teacher's process; imports no framework."""
