"""Inputs of well-known models that the emulator accepts too, so that a command for Replicate works unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

IGNORED = "Without effect in the emulator."
RATIOS = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
FORMATS = ("webp", "jpg", "png")


def _number(default: float, minimum: float, maximum: float, kind: str = "number") -> Schema:
    return {"type": kind, "default": default, "minimum": minimum, "maximum": maximum}


def _flag(*, default: bool) -> Schema:
    return {"type": "boolean", "default": default}


def _word(default: str, *words: str) -> Schema:
    return {"type": "string", "default": default, **({"enum": list(words)} if words else {})}


_URI: Schema = {"type": "string", "format": "uri"}
FLUX = {
    "num_inference_steps": _number(4, 1, 4, "integer"),
    "output_quality": _number(80, 0, 100, "integer"),
    "disable_safety_checker": _flag(default=False),
    "go_fast": _flag(default=True),
    "megapixels": _word("1", "1", "0.25"),
}
SDXL = {
    "negative_prompt": _word(""),
    "image": _URI,
    "mask": _URI,
    "scheduler": _word(
        "K_EULER", "DDIM", "DPMSolverMultistep", "HeunDiscrete", "KarrasDPM", "K_EULER_ANCESTRAL", "K_EULER", "PNDM"
    ),
    "num_inference_steps": _number(50, 1, 500, "integer"),
    "guidance_scale": _number(7.5, 1, 50),
    "prompt_strength": _number(0.8, 0, 1),
    "refine": _word("no_refiner", "no_refiner", "expert_ensemble_refiner", "base_image_refiner"),
    "high_noise_frac": _number(0.8, 0, 1),
    "refine_steps": {"type": "integer"},
    "apply_watermark": _flag(default=True),
    "lora_scale": _number(0.6, 0, 1),
    "disable_safety_checker": _flag(default=False),
}
LLAMA = {
    "top_p": _number(0.9, 0, 1),
    "top_k": {"type": "integer", "default": 50},
    "presence_penalty": {"type": "number", "default": 1.15},
    "frequency_penalty": {"type": "number", "default": 0.2},
    "prompt_template": _word("{prompt}"),
}
ESRGAN = {"face_enhance": _flag(default=False)}
VIDEO = {"first_frame_image": _URI, "prompt_optimizer": _flag(default=True)}


def after(fields: Mapping[str, Schema], ignored: Mapping[str, Schema]) -> dict[str, Schema]:
    """The fields of an input schema, followed by those that have no effect."""
    more = {
        name: {"title": name.replace("_", " ").title(), "x-order": order, "description": IGNORED, **facts}
        for order, (name, facts) in enumerate(ignored.items(), len(fields))
    }
    return {**fields, **more}


def sides(width: int, height: int, ratio: str) -> tuple[int, int]:
    """Width and height in this ratio, neither larger than the larger argument; unchanged for the default ratio."""
    if ratio == RATIOS[0]:
        return width, height
    across, down = map(int, ratio.split(":"))
    unit = max(width, height) / max(across, down)
    return max(1, round(across * unit)), max(1, round(down * unit))
