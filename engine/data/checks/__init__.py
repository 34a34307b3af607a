"""The checks of the data audit: one kind of trouble each, found by row and said without anybody's words."""
