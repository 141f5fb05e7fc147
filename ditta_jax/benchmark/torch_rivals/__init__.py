"""The PyTorch programs that the benchmark runs beside ours, each in a process of its own."""
