"""A simulation of a sharded click counter: python3 docs/sharded_counter.py

DynamoDB throttles a partition beyond 1,000 writes a second, and one item is never spread over
two partitions. A link's counter split into N items takes up to N times as many clicks.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
"""

import random
from collections import Counter
from dataclasses import dataclass

WRITES_PER_SECOND = 1000  # of one partition, for items of up to 1 KB


@dataclass(frozen=True)
class Outcome:
    """What became of the clicks: how many were offered, and what each shard has counted."""

    offered: int
    counts: tuple[int, ...]

    @property
    def counted(self) -> int:
        """What a reader sees who adds up the shards."""
        return sum(self.counts)

    @property
    def throttled(self) -> int:
        return self.offered - self.counted


def simulate(clicks_per_second: int, shards: int, seconds: int, seed: int = 0) -> Outcome:
    """Offer clicks to a counter of ``shards`` items, each click to one drawn at random.

    Every shard has a partition of its own, as a popular item gets in time. A click beyond what
    its partition writes in that second is throttled, and not tried again.
    """
    draw = random.Random(seed)  # noqa: S311 # which shard takes a click is no secret
    counts = [0] * shards
    for _ in range(seconds):
        offered = Counter(draw.randrange(shards) for _ in range(clicks_per_second))
        for shard, clicks in offered.items():
            counts[shard] += min(clicks, WRITES_PER_SECOND)
    return Outcome(clicks_per_second * seconds, tuple(counts))


if __name__ == "__main__":
    print("clicks/s  shards  counted  throttled")
    for rate in (500, 2000, 10_000):
        for number in (1, 4, 16):
            outcome = simulate(rate, number, seconds=10)
            print(f"{rate:8}  {number:6}  {outcome.counted / outcome.offered:7.1%}  {outcome.throttled:9}")
