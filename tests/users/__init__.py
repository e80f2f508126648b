"""The planted bugs of `tests.mutants` as users would hand them in, and what the oracle should say about each."""
