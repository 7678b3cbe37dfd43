"""Things to predict; one task a file, entered by entry points."""
