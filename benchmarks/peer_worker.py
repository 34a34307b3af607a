"""One contender of `peers.py` in a process of its own: `python peer_worker.py FOLDER NAME`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
for variable, value in {
    "OMP_NUM_THREADS": "1",
    "GOMP_SPINCOUNT": "10000",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "WANDB_MODE": "disabled",
}.items():
    os.environ.setdefault(variable, value)


def main(folder: Path, name: str) -> None:
    """Run passes of `name` as standard input orders them."""
    os.environ["HF_HOME"] = str(folder / "cache")
    import warnings

    import torch
    from peer_gate import Gate
    from peer_work import read

    gate = Gate.of_process()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    work = read(folder)
    if name.startswith("stint"):
        from peer_stint import run as run_stint

        run_stint(work, folder, gate, name=name)
    elif name.startswith("bare"):
        from peer_loops import run as run_bare

        run_bare(work, folder, gate, each=name == "bare-each")
    else:
        from peer_trainers import run as run_trainer

        run_trainer(work, folder, gate, name=name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
