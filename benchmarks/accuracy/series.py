"""Many runs side by side, each worker a process of its own.

Accuracies do not depend on how fast the others leave the GPU. A worker reads a job a line and answers with a line.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from benchmarks.accuracy.runs import Job, run

WORKER = (sys.executable, "-c", "from benchmarks.accuracy.series import work; work()")
Done = Callable[[Job, dict[str, Any]], None]


def in_processes(jobs: Iterable[Job], processes: int, seconds: float, done: Done) -> None:
    """Run the jobs in their order, so many at a time; `done` hears of each as it ends, one after another.

    After `seconds` the workers are stopped: what they were at is lost, and what had not begun is left.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    end, one_at_a_time = time.monotonic() + seconds, threading.Lock()
    count = min(processes, waiting.qsize())
    with ThreadPoolExecutor(max(1, count)) as pool:
        served = [pool.submit(_serve, waiting, end, done, one_at_a_time) for _ in range(count)]
    for each in served:
        each.result()


def _serve(waiting: queue.SimpleQueue[Job], end: float, done: Done, one_at_a_time: threading.Lock) -> None:
    """Give a worker of its own one job after another until there are none, or its time is up."""
    with subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        alarm = threading.Timer(max(0.0, end - time.monotonic()), worker.kill)
        alarm.start()
        try:
            while time.monotonic() < end:
                job = waiting.get_nowait()
                print(json.dumps(asdict(job)), file=worker.stdin, flush=True)
                answer = worker.stdout.readline()
                if not answer:  # stopped, or died
                    break
                with one_at_a_time:
                    done(job, json.loads(answer))
        except (queue.Empty, BrokenPipeError):
            pass
        finally:
            alarm.cancel()


def work() -> None:
    """Answer each job on standard input; a run that fails with what it said."""
    for line in sys.stdin:
        try:
            answer = run(Job(**json.loads(line)))
        except Exception as error:  # one run, not the series
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
