"""What `compare` is made of: cells, intervals over videos, the table, the plot."""
