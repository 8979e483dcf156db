from __future__ import annotations

from livekit.plugins.baseten.emulator._models.session import Job, JobQueue


def queue_of(*kinds: str) -> JobQueue:
    queue = JobQueue()
    for number, kind in enumerate(kinds):
        queue.append(Job(b"", kind == "final", number, 0.0, 0.0, 0.0))
    return queue


def numbers(queue: JobQueue, *, latest_only: bool) -> list[int]:
    taken = []
    while (job := queue.take(latest_only=latest_only)) is not None:
        taken.append(job.number)
        queue.finish()
    return taken


def test_jobs_come_in_order_one_at_a_time() -> None:
    queue = queue_of("partial", "final")
    assert queue.take(latest_only=False) is not None
    assert queue.take(latest_only=False) is None
    assert not queue.is_idle
    queue.finish()
    assert numbers(queue, latest_only=False) == [1]
    assert queue.is_idle


def test_a_slow_recognizer_skips_partials_that_were_overtaken_and_no_final() -> None:
    kinds = ("partial", "partial", "final", "final", "partial", "partial")
    assert numbers(queue_of(*kinds), latest_only=True) == [2, 3, 5]
    assert numbers(queue_of(*kinds), latest_only=False) == [0, 1, 2, 3, 4, 5]
