"""Correct code that nobody here wrote, put into the oracle's forms in a few lines each.

What a package differs in stands beside it with the reason (`WITHOUT`): declared to the oracle, never allowed for.
"""
