from cnn.progress import Progress


def test_the_running_error_is_asked_for_now_and_then_and_read_later(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("cnn.progress.time.perf_counter", lambda: now[0])
    events = []

    class Scalar:
        def __init__(self, number):
            self.number = number

        def __float__(self):
            events.append(f"read {self.number}")
            return float(self.number)

    class Output:
        def get_error(self, t):
            events.append(f"asked {t}")
            return Scalar(t)

    progress = Progress("epoch 1/1", 10, shown=True)
    for i in range(10):
        now[0] += 0.2
        progress.step(Output(), i)
    progress.close()
    assert events == ["asked 2", "read 2", "asked 5", "read 5", "asked 8"]


def test_the_evaluation_does_not_count_in_the_steps_per_second(monkeypatch, capfd):
    now = [100.0]
    monkeypatch.setattr("cnn.progress.time.perf_counter", lambda: now[0])
    progress = Progress("epoch 1/1", 2, shown=True)
    started = progress.bar.start_t
    progress.pause()
    now[0] += 30
    progress.close(test=0.5)
    assert progress.bar.start_t == started + 30
    assert capfd.readouterr().err.endswith("test=0.5000]\n")


def test_a_progress_that_is_not_shown_asks_nothing(capfd):
    progress = Progress("epoch 1/1", 2, shown=False)
    progress.step(None, None)
    progress.pause()
    progress.close(test=0.5)
    assert capfd.readouterr() == ("", "")


def test_an_error_that_is_not_there_yet_is_shown_later_and_not_asked_for_anew(monkeypatch):
    now, arrived, asked = [0.0], [False], []
    monkeypatch.setattr("cnn.progress.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("cnn.xp.Later.ready", lambda self: arrived[0])

    class Output:
        def get_error(self, t):
            asked.append(t)
            return float(t)

    progress = Progress("epoch 1/1", 4, shown=True)
    shown = []
    monkeypatch.setattr(progress.bar, "set_postfix", lambda error, refresh: shown.append(error))
    for i in range(4):
        now[0] += 1
        arrived[0] = i == 2
        progress.step(Output(), i)
    progress.close()
    assert (asked, shown) == ([0, 2], ["0.0000"])
