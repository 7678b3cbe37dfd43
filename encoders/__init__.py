"""Encoders: each reads the candles of one stream."""
