"""From what a model said to money: policy, broker, equity. Knows nothing of torch or of models."""
