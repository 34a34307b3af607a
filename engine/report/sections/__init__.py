"""The chapters of a report, each a pure function from the story to its blocks."""
