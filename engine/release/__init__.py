"""From a trained model to what others can use, cite and keep: exports, releases, backups."""
