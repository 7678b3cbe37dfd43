"""Sockets, and the registry of what fits them: every part that can be exchanged."""
