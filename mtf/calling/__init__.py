"""Calling a model by keywords: raw arrays in, named outputs out."""
