"""Predictors of eleven kinds and a training, which run on cog 0.9, 0.16 and 0.23."""

import tempfile
import time
from collections.abc import Iterator

from cog import BaseModel, BasePredictor, ConcatenateIterator, Input, Path, Secret

PNG = b"\x89PNG\r\n\x1a\n"


def folder():
    return Path(tempfile.mkdtemp())


class Text(BasePredictor):
    def predict(self, text: str = Input(description="Whom to greet"), count: int = Input(default=1, ge=1, le=5)) -> str:
        print(f"greeting {text}")
        return " ".join([f"hello {text}"] * count)


class Words(BasePredictor):
    def predict(self, prompt: str, delay: float = Input(default=0.0)) -> ConcatenateIterator[str]:
        for word in prompt.split():
            time.sleep(delay)
            print(f"word {word}")
            yield word + " "


class Upper(BasePredictor):
    def predict(self, file: Path = Input(description="A text file")) -> Path:
        made = folder() / "upper.txt"
        made.write_text(file.read_text().upper())
        return made


class Files(BasePredictor):
    def predict(self, count: int = Input(default=2, ge=0, le=4)) -> list[Path]:
        made = [folder() / f"{index}.png" for index in range(count)]
        for index, path in enumerate(made):
            path.write_bytes(PNG + b"%d" % index)
        return made


class Number(BasePredictor):
    def predict(self, a: int = Input(default=1), b: float = Input(default=0.5)) -> float:
        return a + b


class Answer(BaseModel):
    text: str
    score: float
    picture: Path


class Table(BasePredictor):
    def predict(self, text: str = Input(default="x")) -> Answer:
        made = folder() / "picture.png"
        made.write_bytes(PNG)
        return Answer(text=text, score=0.5, picture=made)


class Painter(BasePredictor):
    def predict(self, steps: int = Input(default=4, ge=1, le=100)) -> Path:
        for step in range(steps):
            print(f"{(step + 1) * 100 // steps}%| step {step + 1}/{steps}", flush=True)
            time.sleep(0.4)
        made = folder() / "painting.png"
        made.write_bytes(PNG)
        return made


class Failing(BasePredictor):
    def predict(self, message: str = Input(default="no luck")) -> ConcatenateIterator[str]:
        yield "half "
        raise ValueError(message)


class Slow(BasePredictor):
    def predict(self, seconds: float = Input(default=60.0, ge=0)) -> str:
        print("sleeping", flush=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.02)
        return "slept"


class Hidden(BasePredictor):
    def predict(self, password: Secret = Input(description="A secret")) -> str:
        return f"{len(password.get_secret_value())} characters"


class Choice(BasePredictor):
    def predict(
        self,
        color: str = Input(choices=["red", "green"], default="red"),
        size: int = Input(choices=[1, 2], default=1),
        flag: bool = Input(default=False),
    ) -> Iterator[str]:
        yield color
        yield str(size)
        yield str(flag)


class TrainingOutput(BaseModel):
    weights: Path


def train(
    images: Path = Input(description="Pictures"),
    steps: int = Input(default=3, ge=1, le=300),
    message: str = Input(default=""),
) -> TrainingOutput:
    for step in range(steps):
        print(f"step {step + 1}/{steps}", flush=True)
        time.sleep(0.3)
    if message:
        raise ValueError(message)
    made = folder() / "weights.txt"
    made.write_text(images.read_text().upper())
    return TrainingOutput(weights=made)
