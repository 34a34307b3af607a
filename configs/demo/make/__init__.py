"""How the demo's conversations and base model are made; nothing here runs in a training run."""
