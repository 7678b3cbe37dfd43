"""Configs: the manual of every key, reading with all mistakes at once, and building objects."""
