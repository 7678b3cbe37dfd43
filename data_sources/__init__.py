"""Places where candles come from; one source a file, entered by entry points."""
