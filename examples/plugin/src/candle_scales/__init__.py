"""Plug-ins for mtf: the encoder ``haar`` and the head ``range``.

mtf finds both by the entry points of this package; nothing has to be imported by hand.
"""
