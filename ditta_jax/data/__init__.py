"""Frame sources, input preprocessing and training augmentation."""
