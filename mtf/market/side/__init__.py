"""Side inputs that come with mtf: what a model reads beside candles."""
