"""DiTTA in JAX: turn an image segmentation model into a video one at test time."""

__version__ = "0.1.0"
