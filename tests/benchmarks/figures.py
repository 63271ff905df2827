"""Figures of the loads: medians of interleaved rounds, and how they are shown."""

import statistics
from dataclasses import dataclass

STAGES = (
    "parse",
    "draft",
    "leaf",
    "tree",
    "store",
    "commit",
    "sign",
    "answer",
    "encode",
)


@dataclass
class Figures:
    """What one scenario gave: medians of its rounds, latencies in milliseconds.

    `stages_us` is microseconds per event in each stage, in the round of median rate.
    """

    engine: str
    scenario: str
    connections: int
    unit: str
    rate: float
    slowest: float
    fastest: float
    p50_ms: float
    p99_ms: float
    verified: int
    stages_us: dict[str, float]


def profile(
    before: dict[str, float], after: dict[str, float], events: int
) -> dict[str, float]:
    """Return microseconds per event (or proof) in each stage."""
    stages = {}
    for stage in STAGES:
        name = f'provlog_stage_seconds_sum{{stage="{stage}"}}'
        spent = after.get(name, 0.0) - before.get(name, 0.0)
        if spent:
            stages[stage] = round(spent / events * 1e6, 1)
    return stages


def summarise(runs: list[Figures]) -> Figures:
    """Return the medians of one scenario's rounds, and the range of its rate."""
    ordered = sorted(runs, key=lambda run: run.rate)
    middle = ordered[len(ordered) // 2]
    return Figures(
        middle.engine,
        middle.scenario,
        middle.connections,
        middle.unit,
        round(middle.rate),
        round(ordered[0].rate),
        round(ordered[-1].rate),
        round(statistics.median(run.p50_ms for run in runs), 2),
        round(statistics.median(run.p99_ms for run in runs), 2),
        sum(run.verified for run in runs),
        middle.stages_us,
    )


def show(results: list[Figures]) -> None:
    """Print the figures, and what each stage costs in microseconds per event."""
    columns = f"{'load':<18}{'engine':<12}{'conns':>6}"
    titles = ("per second", "slowest", "fastest", "p50 ms", "p99 ms")
    print(columns + "".join(f"{title:>12}" for title in titles))
    for row in results:
        print(
            f"{row.scenario:<18}{row.engine:<12}{row.connections:>6}"
            f"{row.rate:>12,}{row.slowest:>12,}{row.fastest:>12,}"
            f"{row.p50_ms:>12}{row.p99_ms:>12}"
        )
    print("\nmicroseconds per event in each stage ('commit' is waiting for the flush)")
    print(columns + "".join(f"{stage:>8}" for stage in STAGES))
    for row in results:
        cells = "".join(f"{row.stages_us.get(stage, '-'):>8}" for stage in STAGES)
        print(f"{row.scenario:<18}{row.engine:<12}{row.connections:>6}{cells}")
