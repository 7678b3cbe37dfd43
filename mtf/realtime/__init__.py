"""Live: the exchange's clients, the feed above them, and the stand-in that they rehearse with."""
