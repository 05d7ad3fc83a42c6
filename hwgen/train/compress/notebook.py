"""What a search has fine-tuned, noted on disk: a search that was interrupted repeats none of it.

Training is a function of the network, its weights, the data and the settings, seeds included. So a search that begins
again asks for the same trainings in the same order, and gets the weights that are here.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.digests import code_digest, digest_of, package_versions
from hwgen.train.loop import History

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec
    from hwgen.train.loop import Task

PACKAGES = ("tensorflow", "qkeras", "numpy")
HISTORY = "history"


@dataclass(frozen=True)
class Notebook:
    """Trainings in a folder, a file each.

    Parameters
    ----------
    folder : Path or None
        None: nothing is noted.
    settings : str
        Digest of what all of them depend on; see `settings_of`.
    """

    folder: Path | None
    settings: str = ""

    def train(self, model: keras.Model, epochs: int, training: Callable[[], History]) -> History:
        """Fine-tune `model` in place by `training`, or give it the weights that this training led to before."""
        if self.folder is None:
            return training()
        path = self.folder / f"{self._key(model, epochs)}.npz"
        noted = _read(path)
        if noted is not None:
            weights, history = noted
            model.set_weights(weights)
            return history
        history = training()
        _write(path, model.get_weights(), history)
        return history

    def _key(self, model: keras.Model, epochs: int) -> str:
        total = hashlib.sha256(digest_of([self.settings, epochs, model.to_json()]).encode())
        for values in model.get_weights():
            total.update(np.ascontiguousarray(values).tobytes())
        return total.hexdigest()[:32]


def settings_of(spec: ModelSpec, task: Task, teacher: keras.Model | None) -> str:
    """Return a digest of what fine-tuning depends on beside the network: settings, samples, teacher, code, packages."""
    total = hashlib.sha256()
    said = [spec.train.model_dump(mode="json"), spec.compress.model_dump(mode="json", include={"distill"})]
    total.update(digest_of([*said, code_digest("train"), package_versions(PACKAGES)]).encode())
    for part in (task.x_fit, task.y_fit, task.x_val, task.y_val, teacher.get_weights() if teacher else ()):
        for values in part if isinstance(part, tuple | list) else (part,):
            total.update(np.ascontiguousarray(values).tobytes())
    return total.hexdigest()


def _read(path: Path) -> tuple[list[Any], History] | None:
    """Return the weights and the history in a file; None if it is not there, or not whole."""
    try:
        with np.load(path) as file:
            names = sorted((name for name in file.files if name != HISTORY), key=int)
            return [file[name] for name in names], json.loads(str(file[HISTORY]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _write(path: Path, weights: list[Any], history: History) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part, arrays = path.with_suffix(".part"), {str(k): values for k, values in enumerate(weights)}
    arrays[HISTORY] = np.array(json.dumps(history))
    with part.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    part.replace(path)
