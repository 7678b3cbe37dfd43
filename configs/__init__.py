"""Configs that come with mtf; ``mtf train dsc_mtf`` finds them by name wherever it runs."""
