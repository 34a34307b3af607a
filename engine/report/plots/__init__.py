"""Charts as SVG, drawn by hand: a few kinds that suit a report need no plotting library, its weight or its start-up."""
