"""Patterns of zeros: n of m, blocks, one budget over all layers; exact to the end, refused where they do not fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from train_helpers import spec_of, write_blobs

from hwgen.errors import ErrorList, HwgenError, ModelError
from hwgen.spec import load_spec, resolved_yaml
from hwgen.train.build import make_model
from hwgen.train.compress import compress_model
from hwgen.train.compress.masks import Budget, GroupMask, Mask
from hwgen.train.compress.patterns import Blocks, Groups, lamp, matrix_shape
from hwgen.train.compress.pruning import _masks, targets_of
from hwgen.train.compress.workshop import Workshop
from hwgen.train.data import load_data

pytestmark = pytest.mark.keras


def variable(shape: tuple[int, ...], seed: int = 0) -> keras.Variable:
    return keras.Variable(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def prepared(folder: Path, pruning: dict, epochs: int = 3):
    write_blobs(folder)
    spec = spec_of(folder, {"compress": {"epochs": epochs, "pruning": pruning}})
    data = load_data(spec)
    return spec, data, make_model(spec, data)


def kernel(model: keras.Model, name: str) -> np.ndarray:
    return np.asarray(model.get_layer(name).kernel)


def test_n_falls_from_m_along_the_schedule() -> None:
    weights = variable((3, 2, 4, 5))  # a convolution: groups run along (ky, kx, channel)
    first = np.asarray(weights).reshape(24, 5)
    mask = GroupMask("c", weights, Groups((24, 5), most=1, size=8))
    left = []
    for progress in (0.0, 0.1, 0.3, 0.6, 1.0):
        before = np.asarray(weights)
        mask.update(progress)
        now = np.asarray(weights)
        assert np.all(now[before == 0] == 0) and np.all(now[now != 0] == before[now != 0])
        left.append(set(np.count_nonzero(now.reshape(3, 8, 5), axis=1).ravel().tolist()))
    assert left == [{8}, {8 - round(7 * 0.271)}, {8 - round(7 * 0.657)}, {1}, {1}]
    largest = np.abs(first).reshape(3, 8, 5).max(axis=1)
    np.testing.assert_array_equal(np.abs(np.asarray(weights)).reshape(3, 8, 5).max(axis=1), largest)
    mask.check()
    weights.assign(np.asarray(weights) + 1)  # what the constraint forbids
    with pytest.raises(ModelError, match="was not kept"):
        mask.check()


def test_blocks_go_as_a_whole_the_weakest_first() -> None:
    weights = variable((8, 6))
    energy = np.square(np.asarray(weights, dtype=np.float64)).reshape(4, 2, 2, 3).sum(axis=(1, 3))
    mask = Mask("d", weights, 0.75, Blocks((8, 6), (2, 3)))
    mask.update(0.2)
    some = np.asarray(weights) == 0
    mask.update(1.0)
    gone = (np.asarray(weights) == 0).reshape(4, 2, 2, 3)
    whole = gone.all(axis=(1, 3))
    assert whole.sum() == 6 and (gone.any(axis=(1, 3)) == whole).all() and energy[whole].max() < energy[~whole].min()
    assert some.sum() == 6 * round(0.75 * 0.488 * 8) and (np.asarray(weights)[some] == 0).all()
    mask.check()
    mask.release()
    assert weights.constraint is None


def test_a_budget_over_all_layers_empties_none() -> None:
    large, small = variable((20, 10), 1), variable((4, 5), 2)
    large.assign(np.asarray(large) * 0.01)  # all of them smaller than any of the other kernel
    masks = [Mask("large", large, 0.0), Mask("small", small, 0.0)]
    budget = Budget(masks, 0.9)
    for progress in (0.0, 0.3, 0.7, 1.0):
        budget.update(progress)
    left = [int(np.count_nonzero(np.asarray(v))) for v in (large, small)]
    assert sum(left) == 220 - round(0.9 * 220) and min(left) >= 1 and left[0] > left[1]
    budget.check()
    np.testing.assert_allclose(lamp(np.array([4.0, 1.0, 2.0, 0.0])), [1, 1 / 7, 2 / 6, 0])
    assert lamp(np.zeros(3)).tolist() == [0, 0, 0]


def test_the_matrix_is_the_hardwares() -> None:
    def layer(kind: str, shape: tuple[int, ...]) -> tuple[int, int]:
        kernel = np.zeros(shape)
        return matrix_shape(type(kind, (), {"kernel": kernel})(), kernel)

    assert layer("QDense", (12, 5)) == (12, 5) and layer("QConv2D", (3, 3, 4, 8)) == (36, 8)
    assert layer("QDepthwiseConv2D", (3, 3, 4, 2)) == (9, 8) and layer("QConv1D", (3, 4, 8)) == (12, 8)
    both = SimpleNamespace(depthwise_kernel=np.zeros((3, 3, 4, 1)), pointwise_kernel=np.zeros((1, 1, 4, 8)))
    assert matrix_shape(both, both.depthwise_kernel) == (9, 4) and matrix_shape(both, both.pointwise_kernel) == (4, 8)


def test_patterns_are_exact_after_fine_tuning(tmp_path: Path) -> None:
    spec, data, model = prepared(tmp_path, {"method": "n_m", "pattern": "1:4", "layers": {"logits": 0.5}})
    result = compress_model(Workshop(spec, data), model)
    counts = np.count_nonzero(kernel(model, "fc1").reshape(1, 4, 8), axis=1)
    assert (counts == 1).all() and result.sparsity == {"fc1": 0.75, "logits": 0.5}
    assert (np.count_nonzero(kernel(model, "logits").reshape(2, 4, 3), axis=1) == 2).all()


def test_a_global_budget_of_blocks_with_epochs_of_its_own(tmp_path: Path) -> None:
    plan = {"method": "block", "block": [2, 1], "sparsity": 0.5, "scope": "global", "epochs": 2}
    spec, data, model = prepared(tmp_path, plan, epochs=0)
    assert spec.compress.pruning is not None and spec.compress.pruning.end_epoch == 1
    result = compress_model(Workshop(spec, data), model)
    assert len(result.history["loss"]) == 2
    zeros = [(kernel(model, n).reshape(-1, 2, kernel(model, n).shape[1]) == 0) for n in ("fc1", "logits")]
    assert all((z.all(axis=1) == z.any(axis=1)).all() for z in zeros)
    assert sum(int(z.all(axis=1).sum()) for z in zeros) == round(0.5 * (16 + 12))
    apart = spec_of(tmp_path, {"compress": {"pruning": plan | {"layers": {"logits": 0.0}}}})
    assert [(t.layer, t.share) for t in targets_of(apart, model)] == [("fc1", None)]
    nothing = spec_of(tmp_path, {"compress": {"pruning": plan | {"sparsity": 0.0}}})
    before = model.get_layer("fc1").kernel.constraint
    (budget,) = _masks(targets_of(nothing, model), 0.0)
    budget.release()
    assert model.get_layer("fc1").kernel.constraint is before


@pytest.mark.parametrize(
    ("pruning", "key", "found", "expected"),
    [
        (
            {"method": "n_m", "pattern": "2:3"},
            "pattern",
            "2:3: groups of 3 inputs; fc1 has 4 inputs × 8 outputs",
            "divi",
        ),
        (
            {"method": "block", "block": [2, 4], "sparsity": 0.5},
            "block",
            "blocks of 2 inputs × 4 outputs; logits has 8 inputs × 3 outputs",
            "divisor of both",
        ),
    ],
)
def test_patterns_must_divide_the_layer(tmp_path: Path, pruning: dict, key: str, found: str, expected: str) -> None:
    spec, data, model = prepared(tmp_path, pruning)
    with pytest.raises(HwgenError, match="the pattern does not divide the layer") as failure:
        compress_model(Workshop(spec, data), model)
    error = failure.value
    assert error.exit_status == 2 and error.found == found and expected in (error.expected or "")
    assert (error.where or "").endswith(f": compress.pruning.{key}") and "model.yaml:" in (error.where or "")
    assert "layers: {" in (error.hint or "")


@pytest.mark.parametrize(
    ("pruning", "line", "what", "expected"),
    [
        ({"method": "n_m"}, 1, "required with method: n_m", "2:4"),
        ({"method": "n_m", "pattern": "4:4"}, 3, "n must be less than m", "n:m"),
        ({"method": "n_m", "pattern": "0:4"}, 3, "n must be less than m", "n:m"),
        ({"method": "n_m", "pattern": "2:4", "sparsity": 0.75}, 4, "contradicts pattern: 2:4", "0.5, or no sparsity"),
        ({"method": "n_m", "pattern": "2:4", "scope": "global"}, 4, "there is no budget", "scope: layer"),
        ({"method": "n_m", "pattern": "2:4", "layers": {"fc1": 0.3}}, 5, "groups of 4 cannot", "multiple of 1/4"),
        ({"method": "n_m", "pattern": "2/4"}, 3, "not a pattern", "2:4"),
        ({"method": "n_m", "pattern": 124}, 3, "not a pattern", "in quotes"),
        ({"sparsity": 0.5, "pattern": "2:4"}, 3, "does nothing with method: magnitude", "method: n_m"),
        ({"method": "block", "sparsity": 0.5}, 1, "required with method: block", "block: [4, 8]"),
        ({"method": "block", "block": [4], "sparsity": 0.5}, 3, "wrong value", "[a, b]"),
        ({"method": "n_m", "block": [4, 4], "pattern": "1:2"}, 3, "does nothing with method: n_m", "method: block"),
        ({"sparsity": 1.0}, 2, "wrong value", "< 1"),
        ({"sparsity": -0.1}, 2, "wrong value", "≥ 0"),
        ({"method": "block", "block": [4, 2]}, 1, "required", "a number"),
    ],
)
def test_keys_that_contradict_each_other(tmp_path: Path, pruning: dict, line: int, what: str, expected: str) -> None:
    write_blobs(tmp_path)
    with pytest.raises(ErrorList) as failure:
        spec_of(tmp_path, {"compress": {"pruning": pruning}})
    text = (tmp_path / "model.yaml").read_text().splitlines()
    first = text.index("  pruning:")
    (error,) = failure.value.errors
    assert f"model.yaml:{first + line}:" in (error.where or "") and what in error.what
    assert expected in f"{error.expected} {error.hint}" and error.exit_status == 2


def test_the_resolved_yaml_is_buildable(tmp_path: Path) -> None:
    plan = {"method": "n_m", "pattern": "2:4", "epochs": 5, "layers": {"logits": 0.0}}
    spec, _, _ = prepared(tmp_path, plan)
    (tmp_path / "resolved.yaml").write_text(resolved_yaml(spec))
    again = load_spec(tmp_path / "resolved.yaml")
    assert again.compress == spec.compress
