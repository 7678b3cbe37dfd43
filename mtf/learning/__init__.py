"""Learning: splits, batches, losses, the loop, checkpoints."""
