"""The headless trainer."""
