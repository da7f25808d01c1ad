"""`generate` with its options and those of `Sampling` in one mapping, as tests like to vary them."""

from dataclasses import fields

from ivg_core.sampling.generate import Generated, Sampling, generate

HOW = {field.name for field in fields(Sampling)}


def arguments(options: dict) -> dict:
    """The same options, with those of `Sampling` gathered in `how`; the photo is kept only where it is asked for."""
    how = {"keep_first_frame": False, "composite": False}
    how |= {name: value for name, value in options.items() if name in HOW}
    return {name: value for name, value in options.items() if name not in HOW} | {"how": Sampling(**how)}


def sample(model, image, action, **options) -> Generated:
    """See `generate`."""
    return generate(model, image, action, **arguments(options))
