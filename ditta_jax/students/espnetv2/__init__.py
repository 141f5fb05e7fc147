"""ESPNetv2 as a student: a small convolutional network with a BatchNorm at every step."""
