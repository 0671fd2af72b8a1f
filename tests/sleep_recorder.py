"""A clock on which waiting takes no time."""


class SleepRecorder:
    """``slept`` keeps how long was asked for each time, in seconds; time is what was slept."""

    def __init__(self):
        self.slept = []

    def time(self):
        return sum(self.slept)

    def sleep(self, seconds):
        self.slept.append(seconds)
