"""The terminal cockpit: shows a journal, sends commands."""
