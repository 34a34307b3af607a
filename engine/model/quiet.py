"""Keeping the model libraries off the terminal: their tables and progress bars would break lines and `--json`."""

from __future__ import annotations

import logging


def hush() -> None:
    """Errors only, no progress bars, for transformers and the hub client; safe to call again."""
    import transformers
    from huggingface_hub.utils.tqdm import disable_progress_bars

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
