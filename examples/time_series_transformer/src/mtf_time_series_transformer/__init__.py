"""Plug-in for mtf: the encoder ``time_series_transformer``, from Hugging Face's transformers."""
