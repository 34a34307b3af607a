"""From a person's file to bins of tokens: conversations, never flat strings."""
