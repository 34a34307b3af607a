"""What the two synthetic runs are: one like the demo's, and a long one of a large model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What differs between the two runs."""

    run_id: str
    base: str
    steps: int
    warmup: int
    epochs: float
    step_s: float
    tokens: int
    window_s: float
    reserve_s: float
    layers: int
    params: int
    trained: int
    eval_every: int
    save_every: int
    first_loss: float
    last_loss: float
    gpu: bool


DEMO = Shape(
    run_id="quiet-harbor-4c1e",
    base="configs/demo/base",
    steps=150,
    warmup=15,
    epochs=3.0,
    step_s=0.62,
    tokens=1480,
    window_s=900.0,
    reserve_s=37.5,
    layers=4,
    params=3_312_640,
    trained=412_160,
    eval_every=15,
    save_every=50,
    first_loss=3.9,
    last_loss=1.62,
    gpu=False,
)

LARGE = Shape(
    run_id="wayfarer-7b02",
    base="LatitudeGames/Wayfarer-2-12B",
    steps=675,
    warmup=67,
    epochs=3.0,
    step_s=52.0,
    tokens=16_400,
    window_s=43_200.0,
    reserve_s=1800.0,
    layers=40,
    params=12_247_782_400,
    trained=122_716_160,
    eval_every=50,
    save_every=34,
    first_loss=2.61,
    last_loss=1.39,
    gpu=True,
)
