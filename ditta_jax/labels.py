"""What a pixel's label can be besides a class."""

IGNORE = 255  # not labelled: never learnt from, never scored; so a student has at most 255 classes
