"""Base model, adapters, experts."""
