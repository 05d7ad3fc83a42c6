"""The synthetic data of the studies: what is drawn is what is labelled, and the same every time."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from study_modules import module


@pytest.fixture(scope="module")
def phantom() -> ModuleType:
    return module("medical_imaging/phantom")


def test_radiographs(phantom) -> None:
    x, y = phantom.radiographs(120, 3)
    assert x.shape == (120, 28, 28, 1) and x.dtype == np.uint8 and np.bincount(y).tolist() == [30] * 4
    again, labels = phantom.radiographs(120, 3)
    assert np.array_equal(x, again) and np.array_equal(y, labels)
    assert not np.array_equal(x, phantom.radiographs(120, 4)[0])
    middle, lung = x[:, 5:20, 13:15].mean(), x[:, 8:14, 6:9].mean()
    assert middle > lung + 60  # spine and mediastinum against lungs: what attenuates is bright
    lower = x[:, 17:22, 5:9].mean(axis=(1, 2, 3)) + x[:, 17:22, 19:23].mean(axis=(1, 2, 3))
    assert lower[y == 2].mean() > lower[y == 0].mean() + 20  # fluid in one lung
    heart = x[:, 15:20, 20:23].astype(float).mean(axis=(1, 2, 3))
    assert heart[y == 3].mean() > heart[y == 0].mean() + 5


def test_attenuation_follows_beer_and_lambert(phantom) -> None:
    """Twice the photons: the same picture but for the noise, which falls as its root."""
    rng = np.random.default_rng(0)
    flat = np.full((56, 56), 3.0)
    few = np.stack([phantom._expose(flat, rng, 5_000.0, 0.01) for _ in range(20)]).astype(float)
    many = np.stack([phantom._expose(flat, rng, 500_000.0, 0.01) for _ in range(20)]).astype(float)
    expected = 255 * (3.0 - phantom.WINDOW[0]) / (phantom.WINDOW[1] - phantom.WINDOW[0])
    assert abs(many.mean() - expected) < 0.5 and abs(few.mean() - expected) < 1.0
    # A pixel sums 4 rays: relative deviation 1 / sqrt(4 N exp(-3)), seen through the logarithm.
    scale = 255 / (phantom.WINDOW[1] - phantom.WINDOW[0])
    assert few.std() == pytest.approx(scale / np.sqrt(4 * 5_000 * np.exp(-3)), rel=0.1)
    assert many.std() < 0.2 * few.std()


def test_the_other_machine_is_noisier(phantom) -> None:
    """An eighth of the photons: the same patients, other noise."""
    x, y = phantom.radiographs(40, 5, photons=phantom.PHOTONS / 8)
    own, labels = phantom.radiographs(40, 5)
    assert x.shape == own.shape and np.array_equal(np.bincount(y), np.bincount(labels))
    assert not np.array_equal(x, own)


def test_breast_cancer_is_standardised_by_its_training_part() -> None:
    x_train, y_train, x_test, y_test = module("medical_imaging/breast_cancer").load()
    assert x_train.shape == (379, 30) and x_test.shape == (190, 30)
    assert np.abs(x_train.mean(axis=0)).max() < 0.06 and np.abs(x_train).max() <= 4
    assert abs(y_train.mean() - y_test.mean()) < 0.01
