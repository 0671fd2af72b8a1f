"""The emulator's data: account, models, deployments, jobs and files."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

from kosmolua.emulator.clock import rfc3339
from kosmolua.emulator.identifiers import IdSource
from kosmolua.emulator.jobs import RETENTION, Job, show_prediction
from kosmolua.emulator.models import Behaviour
from kosmolua.emulator.webhooks import Feed

if TYPE_CHECKING:
    from kosmolua.emulator.cog.model import CogModel
    from kosmolua.emulator.published import Models

ACCOUNT = "emulator"
FILE_LIFE = 24 * 3600.0
DAY = 86_400.0


@dataclass
class Version:
    """One version of a model: its behavior and schema."""

    id: str
    created: float
    behaviour: Behaviour
    schema: dict[str, Any]
    trainer: Behaviour | None = None
    accepts: Mapping[str, Any] | None = None  # an input that the API accepted, even if it does not match the schema

    def trained(self, version_id: str, created: float) -> Version:
        """The version that a training makes from this one."""
        return Version(version_id, created, self.behaviour, self.schema, self.trainer)

    def show(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "created_at": rfc3339(self.created),
            "cog_version": "0.16.8",
            "openapi_schema": self.schema,
        }


@dataclass
class Model:
    """A model and its versions, oldest first."""

    owner: str
    name: str
    created: float
    about: dict[str, Any]
    visibility: str = "public"
    official: bool = False
    hides_versions: bool = False
    run_count: int = 0
    readme: str = ""
    versions: list[Version] = field(default_factory=list)
    examples: list[Job] = field(default_factory=list)

    @property
    def slug(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def latest(self) -> Version | None:
        return self.versions[-1] if self.versions else None

    @property
    def updated(self) -> float:
        """When the latest version was created, or the model if it has no version."""
        return self.latest.created if self.latest else self.created

    @property
    def listed(self) -> list[Version]:
        """The versions, newest first."""
        return self.versions[::-1]

    def version(self, version_id: str) -> Version | None:
        return next((version for version in self.versions if version.id == version_id), None)

    def show(self, now: float, origin: str) -> dict[str, Any]:
        links = ("description", "github_url", "paper_url", "license_url", "cover_image_url")
        return {
            "url": f"{origin}/{self.slug}",
            "owner": self.owner,
            "name": self.name,
            **{name: self.about.get(name) for name in links},
            "visibility": self.visibility,
            "run_count": self.run_count,
            "is_official": self.official,
            "default_example": show_prediction(self.examples[0], now, origin) if self.examples else None,
            "latest_version": self.latest.show() if self.latest else None,
        }


@dataclass
class Deployment:
    """A deployment with its current release."""

    owner: str
    name: str
    model: str
    version: str
    hardware: str
    min_instances: int
    max_instances: int
    released: float
    number: int = 1

    @property
    def slug(self) -> str:
        return f"{self.owner}/{self.name}"

    def show(self, account: dict[str, Any]) -> dict[str, Any]:
        release = {
            "number": self.number,
            "model": self.model,
            "version": self.version,
            "created_at": rfc3339(self.released),
            "created_by": account,
            "configuration": {
                "hardware": self.hardware,
                "min_instances": self.min_instances,
                "max_instances": self.max_instances,
            },
        }
        return {"owner": self.owner, "name": self.name, "current_release": release}


@dataclass
class File:
    """An uploaded file."""

    id: str
    name: str
    content_type: str
    content: bytes
    metadata: dict[str, Any]
    created: float

    def show(self, origin: str) -> dict[str, Any]:
        sha256 = hashlib.sha256(self.content).hexdigest()
        return {
            "id": self.id,
            "name": self.name,
            "content_type": self.content_type,
            "size": len(self.content),
            "etag": sha256,
            "checksums": {"sha256": sha256, "md5": hashlib.md5(self.content, usedforsecurity=False).hexdigest()},
            "metadata": self.metadata,
            "created_at": rfc3339(self.created),
            "expires_at": rfc3339(self.created + FILE_LIFE),
            "urls": {"get": f"{origin}/v1/files/{self.id}"},
        }


@dataclass
class World:
    """All data of the emulator. Dictionaries are in order of creation."""

    ids: IdSource
    account: dict[str, Any]
    hardware: list[dict[str, str]]
    collections: dict[str, dict[str, Any]]
    models: Models
    deployments: dict[str, Deployment] = field(default_factory=dict)
    predictions: dict[str, Job] = field(default_factory=dict)
    order: list[Job] = field(default_factory=list)  # the predictions in order of creation
    trainings: dict[str, Job] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    feeds: list[Feed] = field(default_factory=list)
    cogs: dict[str, CogModel] = field(default_factory=dict)
    inline: bool = False  # outputs contain their files, as data URLs
    speed: float = 1.0  # factor of the models' speed
    _ending: list[tuple[float, int, Job]] = field(default_factory=list)  # a heap, ordered by when their data is removed
    _serial: Iterator[int] = field(default_factory=count)

    @property
    def username(self) -> str:
        return str(self.account["username"])

    @property
    def signing_secret(self) -> bytes:
        return self.ids.secret("files")

    @property
    def webhook_key(self) -> bytes:
        return self.ids.secret("webhooks")[:24]

    def find_version(self, version_id: str) -> tuple[Model, Version] | None:
        return self.models.find_version(version_id)

    def find_job(self, job_id: str) -> Job | None:
        return self.predictions.get(job_id) or self.trainings.get(job_id) or self.models.find_example(job_id)

    def add(self, job: Job) -> None:
        """Add a prediction or a training."""
        if job.destination:
            self.trainings[job.id] = job
        else:
            self.predictions[job.id] = job
            job.place = len(self.order)
            self.order.append(job)
        self.expire(job)

    def expire(self, job: Job) -> None:
        """Schedule the removal of the job's data. Call it again at the end of a job whose end was not known."""
        if (end := job.finish()) < math.inf:
            heappush(self._ending, (end + RETENTION, next(self._serial), job))

    def forget(self, version: str) -> None:
        """Remove the predictions of a version."""
        self.order = [job for job in self.order if job.version != version]
        self.predictions = {job.id: job for job in self.order}
        for place, job in enumerate(self.order):
            job.place = place

    def settle(self, now: float) -> None:
        """Apply the changes that are due: publish trained versions, remove expired files and the data of old jobs."""
        for training in self.trainings.values():
            if not training.settled and training.at(now).terminal:
                training.settled = True
                self._publish(training, now)
        while self.files and now >= (oldest := next(iter(self.files.values()))).created + FILE_LIFE:
            del self.files[oldest.id]
        while self._ending and now >= self._ending[0][0]:
            heappop(self._ending)[2].free()

    def _publish(self, training: Job, now: float) -> None:
        model = self.models.get(training.destination or "")
        base = self.find_version(training.version)
        if model and base and training.at(now).status == "succeeded":
            trained = base[1]
            model.versions.append(trained.trained(training.version_used, training.end))
