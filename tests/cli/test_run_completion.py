"""Completion after `kosmo run` in bash, zsh and fish: models, input names, and values."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from surroundings import clean_environment

FLUX = "black-forest-labs/flux-schnell"
INPUTS = [
    "prompt=", "width=", "height=", "num_outputs=", "seed=", "output_format=", "aspect_ratio=", "num_inference_steps=",
    "output_quality=", "disable_safety_checker=", "go_fast=", "megapixels=",
]  # fmt: skip
CODE = {
    "bash": (
        'source "$1"; shift; COMP_WORDBREAKS=" "; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kosmo; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    ),
    "zsh": 'source "$1"; shift 2; _kosmo_candidates "$@"',
    "fish": "source $argv[1]; complete -C (string join ' ' -- $argv[2..-1]) | string replace -r '\\t.*' ''",
}


@pytest.fixture
def complete(tmp_path):
    """The candidates that a shell offers for the last word."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "kosmo").write_text(f'#!/bin/sh\nexec {sys.executable} -m kosmolua "$@"\n')
    (programs / "kosmo").chmod(0o755)
    environment = {**clean_environment(tmp_path), "PATH": f"{programs}:{os.environ['PATH']}"}

    def offers(shell, *words):
        script = subprocess.run(["kosmo", "completion", shell], env=environment, capture_output=True, check=True).stdout
        Path(tmp_path, shell).write_bytes(script)
        name = ["--", shell] if shell == "fish" else [shell]
        name = [] if shell == "fish" else name
        command = [
            shell,
            *(["--no-config"] if shell == "fish" else []),
            "-c",
            CODE[shell],
            *name,
            str(tmp_path / shell),
        ]
        run = subprocess.run([*command, "kosmo", *words], env=environment, capture_output=True, text=True, check=False)
        assert "" == run.stderr
        return [word for word in run.stdout.split() if word.startswith(words[-1])]  # zsh's compadd does this

    return offers


@pytest.mark.parametrize("shell", [shell for shell in CODE if shutil.which(shell)])
def test_models_inputs_and_values(shell, complete):
    """After `kosmo run` models are offered, after a model the names of its inputs that are not given yet, and after a
    name its values."""
    assert [FLUX] == complete(shell, "run", "--emulate", "black")
    assert sorted(INPUTS) == sorted(complete(shell, "run", "--emulate", FLUX, ""))
    assert sorted(INPUTS[1:]) == sorted(complete(shell, "run", "--emulate", FLUX, "prompt=x", ""))
    assert ["num_inference_steps=", "num_outputs="] == sorted(complete(shell, "run", "--emulate", FLUX, "num"))
    values = [f"output_format={name}" for name in ("jpg", "png", "webp")]
    assert values == sorted(complete(shell, "run", "--emulate", FLUX, "output_format="))


@pytest.mark.parametrize("shell", [shell for shell in CODE if shutil.which(shell)])
def test_flags_and_their_values_are_completed(shell, complete):
    """The flags of `kosmo run` and their values are completed as for every command."""
    assert ["--stream"] == complete(shell, "run", FLUX, "--str")
    assert ["allow", "ask", "deny"] == sorted(complete(shell, "run", FLUX, "--write", ""))


def test_recent_models_are_offered(kosmo):
    """Without network access, recently run models are offered, and the inputs of schemas that were read then."""
    kosmo("run", "--emulate", FLUX, "prompt=x", "--no-wait")

    assert f"{FLUX}\n" == kosmo("completion", "run", "bl").out
    assert "" == kosmo("completion", "run", "no/such", "pro").out
    assert 1 == kosmo("completion", "run", FLUX, "--save", "").status
