"""A small seeded k-means, for router prototypes of data without domain labels."""

from __future__ import annotations

import torch


def kmeans(points: torch.Tensor, clusters: int, *, seed: int, rounds: int = 50) -> torch.Tensor:
    """Assign rows to clusters: (rows, features) -> (rows,) int64; deterministic, and no cluster is empty.

    Starts are spread as in k-means++ (Arthur and Vassilvitskii 2007); a cluster that runs empty takes the row that
    lies farthest from its own centre.

    Raises:
        ValueError: fewer rows than clusters.
    """
    if points.shape[0] < clusters:
        raise ValueError(f"{points.shape[0]} rows cannot make {clusters} clusters")
    data = points.to("cpu", torch.float64)
    centres = _spread_starts(data, clusters, torch.Generator().manual_seed(seed))
    assigned = torch.full((data.shape[0],), -1)
    for _ in range(rounds):
        distances = torch.cdist(data, centres)
        nearest = distances.argmin(dim=1)
        _fill_empty(nearest, distances, clusters)
        if torch.equal(nearest, assigned):
            break
        assigned = nearest
        centres = torch.stack([data[assigned == cluster].mean(0) for cluster in range(clusters)])
    return assigned


def _spread_starts(data: torch.Tensor, clusters: int, generator: torch.Generator) -> torch.Tensor:
    chosen = [int(torch.randint(data.shape[0], (), generator=generator))]
    while len(chosen) < clusters:
        gap = torch.cdist(data, data[chosen]).min(dim=1).values.square()
        gap[chosen] = 0.0
        if float(gap.sum()) == 0.0:  # all that is left repeats a start: any row not yet taken will do
            gap = torch.ones_like(gap)
            gap[chosen] = 0.0
        chosen.append(int(torch.multinomial(gap, 1, generator=generator)))
    return data[chosen]


def _fill_empty(nearest: torch.Tensor, distances: torch.Tensor, clusters: int) -> None:
    sizes = torch.bincount(nearest, minlength=clusters)
    for cluster in (sizes == 0).nonzero().flatten().tolist():
        own = distances.gather(1, nearest[:, None]).squeeze(1).clone()
        own[sizes[nearest] < 2] = -1.0
        row = int(own.argmax())
        sizes[nearest[row]] -= 1
        nearest[row] = cluster
        sizes[cluster] = 1
