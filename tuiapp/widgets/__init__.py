"""One widget a file; a view in, text out."""
