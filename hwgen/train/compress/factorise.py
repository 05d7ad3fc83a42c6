"""Low-rank factorisation of kernels, in plain numbers: what a rank keeps, what it costs, and the factors.

Every kernel is (kh, kw, c_in, c_out) here: a dense one has kh = kw = 1, that of a sequence kh = 1. The methods, with
the chain of layers that takes the place of one:

========  ======================================================  ==============
method    chain                                                   ranks
========  ======================================================  ==============
svd       kh × kw to r channels, then 1 × 1                       (r,)
spatial   kh × 1 to r channels, then 1 × kw                       (r,)
tucker2   1 × 1 to a channels, kh × kw to b channels, then 1 × 1  (a, b)
cp        1 × 1 to r channels, kh × kw depthwise, then 1 × 1      (r,)
========  ======================================================  ==============
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Method = Literal["svd", "spatial", "tucker2", "cp"]
Ranks = tuple[int, ...]

SWEEPS = 20
"""Of higher-order orthogonal iteration (tucker2)."""

CP_SWEEPS = 200
"""Of alternating least squares (cp)."""

BEYOND = "Trying to compute SVD with n_eigenvecs"
"""A warning of tensorly: more components than an unfolding has; the others are drawn, seeded."""

CP_LADDER = 12
"""How many ranks of a cp decomposition are tried: each is a decomposition of its own."""


@dataclass(frozen=True)
class Work:
    """What a layer is asked to do for one inference.

    Parameters
    ----------
    shape : of its kernel, (kh, kw, c_in, c_out)
    places : pixels of its input, of what a kh × 1 window makes of it, and of its output; dense: 1, or the vectors
    """

    shape: tuple[int, int, int, int]
    places: tuple[int, int, int]

    @property
    def weights(self) -> int:
        """Elements of the kernel."""
        return int(np.prod(self.shape))

    @property
    def multiplications(self) -> int:
        """Products of one inference; those with padding count."""
        return self.weights * self.places[2]


@dataclass(frozen=True)
class Spectrum:
    """What each choice of ranks keeps and costs: one row a choice.

    Parameters
    ----------
    ranks : (n, 1) or (n, 2)
    energy : share of the kernel's squared norm that is kept
    multiplications, weights : of the whole chain
    """

    ranks: Array
    energy: Array
    multiplications: Array
    weights: Array


@dataclass(frozen=True)
class Choice:
    """How one kernel is factorised, and the price."""

    method: Method
    ranks: Ranks
    energy: float
    multiplications: int
    weights: int


def possible(method: Method, shape: tuple[int, int, int, int]) -> bool:
    """Return whether a method makes sense of a kernel: all but `svd` need a window, `spatial` a two-dimensional one."""
    if method == "spatial":
        return shape[0] > 1 and shape[1] > 1
    return method == "svd" or shape[0] * shape[1] > 1


def largest(method: Method, shape: tuple[int, int, int, int]) -> Ranks:
    """Return the ranks beyond which nothing is gained: the sides of the unfolded kernel."""
    kh, kw, c_in, c_out = shape
    if method == "svd":
        return (min(kh * kw * c_in, c_out),)
    if method == "spatial":
        return (min(kh * c_in, kw * c_out),)
    if method == "tucker2":
        return (min(c_in, kh * kw * c_out), min(c_out, kh * kw * c_in))
    sides = sorted((kh * kw, c_in, c_out))
    return (sides[0] * sides[1],)


def price(method: Method, work: Work, ranks: Any) -> tuple[Any, Any]:
    """Return (multiplications, weights) of the chain.

    Parameters
    ----------
    ranks : a tuple, or the columns of `Spectrum.ranks` for many at a time
    """
    kh, kw, c_in, c_out = work.shape
    before, between, after = work.places
    a, b = ranks[0], ranks[-1]
    if method == "svd":
        parts = [(kh * kw * c_in * a, after), (a * c_out, after)]
    elif method == "spatial":
        parts = [(kh * c_in * a, between), (kw * a * c_out, after)]
    elif method == "tucker2":
        parts = [(c_in * a, before), (kh * kw * a * b, after), (b * c_out, after)]
    else:
        parts = [(c_in * a, before), (kh * kw * a, after), (a * c_out, after)]
    return sum(weights * places for weights, places in parts), sum(weights for weights, _ in parts)


def choice(method: Method, kernel: Array, work: Work, ranks: Ranks) -> Choice:
    """Return what given ranks keep and cost."""
    norm = float((kernel**2).sum())
    error = float(((kernel - compose(method, decompose(method, kernel, ranks))) ** 2).sum())
    multiplications, weights = price(method, work, ranks)
    return Choice(method, ranks, 1 - error / norm if norm else 1.0, int(multiplications), int(weights))


def spectrum(method: Method, kernel: Array, work: Work) -> Spectrum:
    """Return what every choice of ranks keeps and costs; of `tucker2` before its sweeps, of `cp` some ranks only."""
    if method == "cp":
        most = largest(method, work.shape)[0]
        cheap = int(work.multiplications // price(method, work, (1,))[0])
        ladder = np.unique(np.geomspace(1, max(1, min(most, cheap)), CP_LADDER).round().astype(int))
        found = [choice(method, kernel, work, (int(rank),)) for rank in ladder]
        ranks, energy = ladder[:, None], np.array([c.energy for c in found])
    elif method == "tucker2":
        core = _core(kernel)
        kept = (core**2).sum((0, 1)).cumsum(0).cumsum(1)
        a, b = np.indices(kept.shape) + 1
        ranks, energy = np.stack([a.ravel(), b.ravel()], 1), _share(kept.ravel())
    else:
        values = np.linalg.svd(_unfold(method, kernel), compute_uv=False)
        ranks, energy = np.arange(1, len(values) + 1)[:, None], _share((values**2).cumsum())
    multiplications, weights = price(method, work, tuple(ranks.T))
    return Spectrum(ranks, energy, np.asarray(multiplications), np.asarray(weights))


def by_energy(method: Method, kernel: Array, work: Work, energy: float) -> Choice:
    """Return the cheapest ranks that keep this share of the squared norm; if none do, those that keep most."""
    table = spectrum(method, kernel, work)
    enough = table.energy >= energy
    if not enough.any():
        return _row(method, table, int(table.energy.argmax()))
    return _row(method, table, int(np.where(enough, table.multiplications, np.inf).argmin()))


def by_budget(method: Method, kernel: Array, work: Work, budget: float) -> Choice | None:
    """Return the ranks that keep most within this share of the layer's multiplications; None if rank 1 is too much."""
    table = spectrum(method, kernel, work)
    fits = table.multiplications <= budget * work.multiplications
    return _row(method, table, int(np.where(fits, table.energy, -1).argmax())) if fits.any() else None


def decompose(method: Method, kernel: Array, ranks: Ranks) -> list[Array]:
    """Return the kernels of the chain, (kh, kw, c_in, c_out) each; the one in the middle of `cp` (kh, kw, r, 1).

    The scale of `svd`, `spatial` and `cp` is spread evenly over the factors.
    """
    kh, kw, c_in, c_out = kernel.shape
    if method == "tucker2":
        return _tucker2(kernel, ranks)
    if method == "cp":
        return _cp(kernel, ranks[0])
    u, s, v = np.linalg.svd(_unfold(method, kernel), full_matrices=False)
    root, r = np.sqrt(s[: ranks[0]]), ranks[0]
    left, right = u[:, :r] * root, root[:, None] * v[:r]
    if method == "svd":
        return [left.reshape(kh, kw, c_in, r), right.reshape(1, 1, r, c_out)]
    return [left.reshape(kh, 1, c_in, r), right.reshape(r, kw, c_out).transpose(1, 0, 2)[None]]


def compose(method: Method, factors: list[Array]) -> Array:
    """Return the kernel that a chain computes."""
    formulas = {
        "svd": "hwir,uvro->hwio",
        "spatial": "huir,vwro->hwio",
        "tucker2": "uvia,hwab,xybo->hwio",
        "cp": "uvir,hwrz,xyro->hwio",
    }
    return np.einsum(formulas[method], *factors)


def _unfold(method: Method, kernel: Array) -> Array:
    """Return the matrix whose rank is that of the chain."""
    kh, kw, c_in, c_out = kernel.shape
    if method == "svd":
        return kernel.reshape(-1, c_out)
    return kernel.transpose(0, 2, 1, 3).reshape(kh * c_in, kw * c_out)


def _core(kernel: Array) -> Array:
    """Return the kernel in the bases of its own channels, the strongest first (higher-order SVD)."""
    _, _, c_in, c_out = kernel.shape
    a, b = largest("tucker2", kernel.shape)  # type: ignore[arg-type]
    inner = np.linalg.svd(kernel.transpose(2, 0, 1, 3).reshape(c_in, -1), full_matrices=False)[0][:, :a]
    outer = np.linalg.svd(kernel.transpose(3, 0, 1, 2).reshape(c_out, -1), full_matrices=False)[0][:, :b]
    return np.einsum("hwio,ia,ob->hwab", kernel, inner, outer)


def _tucker2(kernel: Array, ranks: Ranks) -> list[Array]:
    from tensorly.decomposition import partial_tucker

    if not kernel.any():
        kh, kw, c_in, c_out = kernel.shape
        a, b = ranks
        return [np.zeros(s) for s in ((1, 1, c_in, a), (kh, kw, a, b), (1, 1, b, c_out))]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", BEYOND)
        (core, (inner, outer)), _ = partial_tucker(
            kernel, rank=list(ranks), modes=[2, 3], n_iter_max=SWEEPS, init="svd", tol=1e-6
        )
    return [inner[None, None], core, outer.T[None, None]]


def _cp(kernel: Array, rank: int) -> list[Array]:
    from tensorly.decomposition import parafac

    kh, kw, c_in, c_out = kernel.shape
    if not kernel.any():
        return [np.zeros(s) for s in ((1, 1, c_in, rank), (kh, kw, rank, 1), (1, 1, rank, c_out))]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", BEYOND)
        scale, (window, inner, outer) = parafac(
            kernel.reshape(kh * kw, c_in, c_out),
            rank=rank,
            n_iter_max=CP_SWEEPS,
            init="svd",
            random_state=0,
            normalize_factors=True,
            tol=1e-7,
        )
    root = np.cbrt(scale)
    return [(inner * root)[None, None], (window * root).reshape(kh, kw, rank, 1), (outer * root).T[None, None]]


def _share(kept: Array) -> Array:
    """Return running sums as a share of the last one; a kernel of zeros is kept whole by anything."""
    return kept / kept.max() if kept.max() > 0 else np.ones_like(kept)


def _row(method: Method, table: Spectrum, index: int) -> Choice:
    ranks = tuple(int(r) for r in table.ranks[index])
    cost = int(table.multiplications[index]), int(table.weights[index])
    return Choice(method, ranks, float(table.energy[index]), *cost)
