"""Students: architectures, their shared parts, and their checkpoints."""
