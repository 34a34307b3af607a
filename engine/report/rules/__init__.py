"""Recommendations for the next run: each rule looks at one number, and says which setting moves it."""
