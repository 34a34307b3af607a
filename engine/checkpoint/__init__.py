"""Durable, proven checkpoints."""
