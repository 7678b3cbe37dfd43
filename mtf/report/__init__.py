"""What a run shows: the terminal, the progress line, TensorBoard."""
