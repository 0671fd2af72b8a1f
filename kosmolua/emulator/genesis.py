"""The initial data of an emulator: account, models and examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kosmolua.emulator import models as kinds
from kosmolua.emulator.documents import Documents
from kosmolua.emulator.identifiers import IdSource, example_id, version_id
from kosmolua.emulator.jobs import OFFICIAL, Job
from kosmolua.emulator.models import Behaviour, Work, seed_of
from kosmolua.emulator.published import Models
from kosmolua.emulator.schema import resolve, with_defaults
from kosmolua.emulator.world import ACCOUNT, DAY, Deployment, Model, Version, World

HELLO_VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
SDXL_VERSION = "da77bc59ee60423279fd632efb4795ab731d9e3ca9705ef3341091fb989b7eaf"

HARDWARE = (
    ("CPU", "cpu"),
    ("Nvidia T4 GPU", "gpu-t4"),
    ("Nvidia L40S GPU", "gpu-l40s"),
    ("2x Nvidia L40S GPU", "gpu-l40s-2x"),
    ("Nvidia A100 (80GB) GPU", "gpu-a100-large"),
    ("Nvidia H100 GPU", "gpu-h100"),
)


@dataclass(frozen=True)
class Listing:
    """A model of the initial data. ``example`` is the input of its example prediction."""

    slug: str
    behaviour: Behaviour
    schema: dict[str, Any]
    description: str
    example: dict[str, Any] | None = None
    official: bool = False
    version: str | None = None
    trainer: Behaviour | None = None


MODELS = (
    Listing(
        "replicate/hello-world",
        kinds.HELLO,
        kinds.HELLO_SCHEMA,
        "A tiny model that says hello",
        {"text": "Alice"},
        version=HELLO_VERSION,
    ),
    Listing(
        "meta/meta-llama-3-8b-instruct",
        kinds.WRITER,
        kinds.WRITER_SCHEMA,
        "A language model; here a Markov chain that writes about the prompt",
        {"prompt": "Describe a lighthouse", "seed": 1},
        official=True,
    ),
    Listing(
        "black-forest-labs/flux-schnell",
        kinds.PAINTER,
        kinds.PAINTER_SCHEMA,
        "An image model; here a painter of landscapes in the colors of the prompt",
        {"prompt": "hills under a red sky", "seed": 1},
        official=True,
    ),
    Listing(
        "nightmareai/real-esrgan",
        kinds.UPSCALER,
        kinds.UPSCALER_SCHEMA,
        "An image upscaler; here a bilinear one for PNG",
    ),
    Listing(
        "minimax/video-01",
        kinds.FILMER,
        kinds.FILMER_SCHEMA,
        "A slow video model; here a painter of short animations that takes its time",
        {"prompt": "the sea at night", "seed": 1},
        official=True,
    ),
    Listing(
        "stability-ai/sdxl",
        kinds.PAINTER,
        kinds.TRAINABLE_SCHEMA,
        "An image model that can be trained; here the painter again",
        {"prompt": "an autumn forest", "seed": 1},
        version=SDXL_VERSION,
        trainer=kinds.TRAINER,
    ),
    Listing(
        "kosmolua/always-fails",
        kinds.FAILER,
        kinds.FAILER_SCHEMA,
        "A model that logs a little and then fails, to test error handling",
    ),
)

COLLECTIONS = (
    ("Language models", "language-models", "Models that write text", ("meta/meta-llama-3-8b-instruct",)),
    (
        "Text to image",
        "text-to-image",
        "Models that make pictures from words",
        ("black-forest-labs/flux-schnell", "stability-ai/sdxl"),
    ),
    ("Super resolution", "super-resolution", "Models that enlarge pictures", ("nightmareai/real-esrgan",)),
    ("Text to video", "text-to-video", "Models that make films from words", ("minimax/video-01",)),
)


def _model(listing: Listing, created: float) -> Model:
    owner, name = listing.slug.split("/")
    version = Version(
        listing.version or version_id(listing.slug), created, listing.behaviour, listing.schema, listing.trainer
    )
    model = Model(owner, name, created, {"description": listing.description}, official=listing.official)
    model.hides_versions = listing.official
    model.readme = f"# {listing.slug}\n\n{listing.description}.\n\nThis model runs inside the kosmolua emulator.\n"
    model.versions.append(version)
    if listing.example is not None:
        model.examples.append(_example(model, version, listing.example))
    return model


def _example(model: Model, version: Version, given: dict[str, Any]) -> Job:
    job_id = example_id(model.slug)
    full = with_defaults(resolve(version.schema, "Input"), given)
    work = Work(full, seed_of(full, job_id))
    runs = version.behaviour.runs(work)
    shown = OFFICIAL if model.official else version.id
    return Job(
        job_id,
        model.slug,
        shown,
        version.behaviour,
        work,
        given,
        version.created + 60,
        version.behaviour.starts,
        runs,
        source="web",
        kept=True,
    )


def seed_world(ids: IdSource, now: float, documents: Documents | None = None) -> World:
    """The initial data: models, collections, hardware, one deployment, one model to train; no predictions.

    The public models in ``documents`` are added.
    """
    age = len(MODELS) + 1
    models = {listing.slug: _model(listing, now - (age - at) * DAY) for at, listing in enumerate(MODELS)}
    own = Model(
        ACCOUNT, "my-sdxl", now - DAY, {"description": "An empty model, as destination of trainings"}, "private"
    )
    deployment = Deployment(
        ACCOUNT, "my-app-image-generator", "stability-ai/sdxl", SDXL_VERSION, "gpu-t4", 0, 3, now - DAY
    )
    return World(
        ids=ids,
        account={
            "type": "user",
            "username": ACCOUNT,
            "name": "Kosmolua Emulator",
            "github_url": "https://github.com/kosmolua",
            "avatar_url": None,
        },
        hardware=[{"name": name, "sku": sku} for name, sku in HARDWARE],
        collections={
            slug: {"name": name, "slug": slug, "description": about, "models": members}
            for name, slug, about, members in COLLECTIONS
        },
        models=Models({**models, own.slug: own}, documents),
        deployments={deployment.slug: deployment},
    )
