"""Candles, timeframes, what is known at t, and the labels that look beyond it."""
