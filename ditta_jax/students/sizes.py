"""What the sizes of every family have in common; imports no framework."""

from ditta_jax.labels import IGNORE
from ditta_jax.ranges import Range, between, several

# Of ImageNet, RGB, grey levels: what frames are normalised by; `Student.encode` turns them into
# the student's own where its card differs.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)

# Ranges of what every configuration has.
MEANS = several(between(-1000.0, 1000.0), "three grey levels", 3, 3)
STDS = several(between(1e-3, 1000.0), "three grey levels above 0", 3, 3)
CLASSES = Range(
    f"in 1 … {IGNORE} (labels are bytes, and {IGNORE} means not labelled)",
    between(1, IGNORE).fault,
)
LIKES = {"num_classes": 1}  # of the types of fields without a default
