"""Honest figures about forecasts: metrics, their intervals, and the baselines to beat."""
