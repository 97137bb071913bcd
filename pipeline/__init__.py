"""Headrace: small models first, large ones only where it pays."""
