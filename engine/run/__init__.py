"""The run as processes and files see it: directory, journal, control. Imports no torch."""
