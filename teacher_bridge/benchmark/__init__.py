"""What tracking costs: this program against the plain `sam2` package, on the same prompts."""
