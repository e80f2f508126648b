"""Whole networks of anybody's, held against any torch module layer by layer."""
