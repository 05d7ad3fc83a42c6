"""`compress.weights`: a network compressed before, with a note of what made it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.errors import ModelError
from hwgen.train.compress.workshop import Workshop
from hwgen.train.store import load_model, read_notes, save_model

if TYPE_CHECKING:
    import keras


def keep(shop: Workshop, before: list[str], model: keras.Model, path: Path, unmet: str | None = None) -> None:
    """Write the compressed network, with the settings of `compress` and the layers of the network it came from.

    Parameters
    ----------
    before : `layers_of` the network before compression
    unmet : what could not be reached, for the builds that use the file
    """
    save_model(model, path, {"compress": _settings(shop), "network": before, "unmet": unmet})


def take_kept(shop: Workshop, model: keras.Model, path: Path) -> keras.Model:
    """Return the compressed network in `path`, in the place of compressing `model`.

    Raises
    ------
    ModelError
        If it was made by other settings of `compress`, or from a network with other layers.
    """
    where = shop.where("weights")
    result, notes = load_model(path, where=where), read_notes(path)
    settings, hint = _settings(shop), "--retrain makes the file again"
    if "compress" not in notes:
        what = f"{path.name} does not say how it was compressed"
        raise ModelError(what, where=where, expected="a file that hwgen wrote with --retrain", hint=hint)
    for key in sorted(settings.keys() | notes["compress"].keys()):
        ours, theirs = settings.get(key), notes["compress"].get(key)
        if ours != theirs:
            what = f"{path.name} was compressed with another compress.{key}"
            raise ModelError(what, where=where, found=_text(theirs), expected=_text(ours), hint=hint)
    for ours, theirs in _unequal(layers_of(model), notes.get("network", [])):
        what = f"{path.name} was compressed from another network"
        raise ModelError(what, where=where, found=theirs, expected=ours, hint=hint)
    return result


def layers_of(model: keras.Model) -> list[str]:
    """Return a line a layer: its name, class, output shape and quantizers."""
    lines = []
    for layer in model.layers:
        quantizers = [q for q in getattr(layer, "quantizers", []) if q is not None]
        if type(layer).__name__ == "QActivation":
            quantizers = [layer.activation]
        words = [layer.name, type(layer).__name__, str(tuple(layer.output.shape[1:])), *map(str, quantizers)]
        lines.append(" ".join(words))
    return lines


def _settings(shop: Workshop) -> dict[str, Any]:
    """Return what model.yaml says of compression; defaults are left out, so that a new key changes nothing."""
    return shop.spec.compress.model_dump(mode="json", exclude_defaults=True, exclude={"weights"})


def _text(value: Any) -> str:
    return "the default" if value is None else str(value)


def _unequal(ours: list[str], theirs: list[str]) -> list[tuple[str, str]]:
    length = max(len(ours), len(theirs))
    padded = [lines + ["no more layers"] * (length - len(lines)) for lines in (ours, theirs)]
    return [(a, b) for a, b in zip(*padded, strict=True) if a != b]
