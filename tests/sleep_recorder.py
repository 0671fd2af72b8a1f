"""A clock that advances without real waiting."""


class SleepRecorder:
    """Records sleeps: ``slept`` has the requested seconds of each, and the time is their sum."""

    def __init__(self):
        self.slept = []

    def time(self):
        return sum(self.slept)

    def sleep(self, seconds):
        self.slept.append(seconds)
