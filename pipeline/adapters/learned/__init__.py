"""Tiers that learn."""
