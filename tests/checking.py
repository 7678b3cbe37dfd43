"""The run-time checker of annotations: an int is fine where a float is wanted, as Python has it."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

typechecked = beartype(conf=BeartypeConf(is_pep484_tower=True))
