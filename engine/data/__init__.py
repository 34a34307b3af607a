"""From a file of conversations to bins of tokens."""
