"""A run as a document: one pass over its journal, one report.json, the same pages as PDF and as a web page."""
