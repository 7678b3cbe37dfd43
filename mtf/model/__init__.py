"""The network: encoders → tokens → fusion → heads."""
