"""Readers of our records that are not ours, and what they are measured by: the golden pairs."""
