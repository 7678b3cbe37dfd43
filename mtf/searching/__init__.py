"""Searching configs: trials drawn by Optuna, trained side by side over Ray, one folder a sweep."""
