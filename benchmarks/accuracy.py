"""The article's experiment: its net, n_batch 8, 5 epochs, the whole of MNIST; the accuracy after the last epoch.

Nothing is chosen on the test set: every setting is the article's default. One seed a process, run side by side:
accuracies do not depend on how fast the others leave the GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from benchmarks.net import article_net, has_gpu
from benchmarks.results import keep


def main(seeds: tuple[int, ...] = (0, 1, 2), epochs: int = 5, n_batch: int = 8) -> None:
    """Train one net a seed, print and keep the accuracies."""
    command = [sys.executable, "-m", "benchmarks.accuracy"]
    runs = [
        subprocess.Popen([*command, str(seed), str(epochs), str(n_batch)], stdout=subprocess.PIPE, text=True)
        for seed in seeds
    ]
    found = [json.loads(run.communicate()[0].splitlines()[-1]) for run in runs]
    median = sorted(run["test_accuracy"] for run in found)[len(found) // 2]
    for run in found:
        test, train, seconds = run["test_accuracy"], run["train_accuracy"], run["seconds"]
        print(f"seed {run['seed']}: test {test:.2%}, train {train:.2%}, {seconds:.0f} s")
    print(f"median test accuracy {median:.2%}")
    whole = "CNN_DATA_DIR" in os.environ
    content = {"data": "MNIST, whole" if whole else "MNIST, the sample", "n_batch": n_batch, "epochs": epochs}
    print(f"wrote {keep('accuracy', {**content, 'median_test_accuracy': median, 'runs': found})}")


def one(seed: int, epochs: int, n_batch: int) -> None:
    """Train with one seed and print what came of it as a line of JSON."""
    lm = article_net("gpu" if has_gpu() else "cpu", seed=seed)
    start = time.perf_counter()
    history = lm.training(epochs, n_batch=n_batch, show_error=False)
    seconds = time.perf_counter() - start
    accuracy = {
        name: float((lm.predict_proba(x).argmax(axis=1) == t.argmax(axis=1)).mean())
        for name, x, t in (("train", lm.x_train, lm.y_train), ("test", lm.x_test, lm.y_test))
    }
    print(
        json.dumps(
            {
                "seed": seed,
                "mode": lm.mode,
                "test_accuracy": accuracy["test"],
                "train_accuracy": accuracy["train"],
                "test_errors": history.table["test_error"].tolist(),
                "seconds": seconds,
                "reason": history.reason,
            }
        )
    )


if __name__ == "__main__":
    one(*map(int, sys.argv[1:])) if len(sys.argv) > 1 else main()
