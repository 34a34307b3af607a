"""Fitting a run into its window."""
