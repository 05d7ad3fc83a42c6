#!/usr/bin/env python3
"""Simulate labelled LHC jets: 16 substructure observables, 5 classes. This is how hwgen's `jets` set came about.

    pip install --only-binary=:all: pythia8mc fastjet        (or: pip install hwgen[jets])
    python make_jets.py --jets 1000 --out my_jets.npz        then in model.yaml: data: {npz: my_jets.npz}

Physics
-------
Proton collisions at 13 TeV in PYTHIA 8. A narrow 2.2 TeV spin-2 resonance decays to gg, qq, WW, ZZ or tt (W and Z decay
to quarks), so that jets of every class have a transverse momentum of about 1 TeV. Parton shower and hadronisation are
on, the underlying event is off, and there is no detector: everything visible is measured perfectly.

Jets are found by anti-kT with R = 0.8 among visible particles with |eta| < 3, and kept if pT > 800 GeV and if a parton
or boson of the hard process points the same way (within 0.3). Each is groomed by the modified mass-drop tagger:
recluster by Cambridge/Aachen, walk back, drop the softer branch while it has less than a tenth of the momentum.

Observables
-----------
With z the share of transverse momentum and theta the distance in rapidity and azimuth (groomed jet, up to 64 hardest):
energy correlators e2(b) = sum over pairs of z z theta^b, and ve3(b) = sum over triplets of z z z times the product of
the v smallest theta^b. From these: C1 = e2, C2 = 3e3 / e2^2, D2 = 3e3 / e2^3, D2(1, b) = 3e3(1) / e2(b)^(3/b),
M2 = 1e3 / e2, N2 = 2e3 / e2^2; b is in the name (c1_b2). Besides: the groomed mass, and of all constituents
sum z log z and their number.
References: Larkoski, Salam, Thaler (2013); Larkoski, Moult, Neill (2014); Moult, Necib, Thaler (2016).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np

try:
    import fastjet
    import pythia8mc
except ImportError as error:
    sys.exit(f"{error}\nThis script needs two more packages: pip install --only-binary=:all: pythia8mc fastjet")

# What the resonance decays to, by class; the order gives the labels.
CLASSES = {"g": (21,), "q": (1, 2, 3), "W": (24,), "Z": (23,), "t": (6,)}
FEATURES = (
    "zlogz", "c1_b0", "c1_b1", "c1_b2", "c2_b1", "c2_b2", "d2_b1", "d2_b2", "d2_a1_b1", "d2_a1_b2",
    "m2_b1", "m2_b2", "n2_b1", "n2_b2", "mass_mmdt", "multiplicity",
)  # fmt: skip

COLLISION_GEV = 13000.0
RESONANCE = 5100039  # PYTHIA's code of the excited graviton
RESONANCE_GEV, WIDTH_GEV = 2200, 20
JET_RADIUS, JET_MIN_PT, MAX_ETA = 0.8, 800.0, 3.0
MATCH_DISTANCE = 0.3
SOFT_SHARE = 0.1
MAX_CONSTITUENTS = 64

ANTI_KT = fastjet.JetDefinition(fastjet.antikt_algorithm, JET_RADIUS)
CAMBRIDGE = fastjet.JetDefinition(fastjet.cambridge_algorithm, 10.0)  # one jet: everything handed to it


@dataclass(frozen=True)
class Constituents:
    """Particles of one jet as arrays."""

    pt: np.ndarray
    rapidity: np.ndarray
    azimuth: np.ndarray

    @classmethod
    def of(cls, particles: list) -> Constituents:
        """Read them off FastJet's particles, hardest first."""
        table = np.array([(p.perp(), p.rap(), p.phi()) for p in particles]).reshape(-1, 3)
        table = table[np.argsort(-table[:, 0], kind="stable")]
        return cls(*table.T)

    def hardest(self, count: int) -> Constituents:
        """Return the first `count` of them."""
        return Constituents(self.pt[:count], self.rapidity[:count], self.azimuth[:count])

    def shares(self) -> np.ndarray:
        """Each one's share of the transverse momentum."""
        return self.pt / self.pt.sum()

    def distances(self) -> np.ndarray:
        """Distance of every pair in rapidity and azimuth, as a matrix."""
        turn = np.abs(self.azimuth[:, None] - self.azimuth)
        return np.hypot(self.rapidity[:, None] - self.rapidity, np.minimum(turn, 2 * np.pi - turn))


def collider(decays: tuple[int, ...], seed: int) -> pythia8mc.Pythia:
    """Return PYTHIA, set up for one class."""
    pythia = pythia8mc.Pythia("", False)
    couplings = [f"ExtraDimensionsG*:G{pair} = 1.0" for pair in ("qq", "bb", "tt", "gg", "ZZ", "WW")]
    hadronic = [line for boson in (23, 24) for line in (f"{boson}:onMode = off", f"{boson}:onIfAny = 1 2 3 4 5")]
    settings = [
        "Print:quiet = on",
        "Random:setSeed = on",
        f"Random:seed = {seed}",
        f"Beams:eCM = {COLLISION_GEV}",
        "PartonLevel:MPI = off",
        "ExtraDimensionsG*:gg2G* = on",
        "ExtraDimensionsG*:SMinBulk = on",
        "ExtraDimensionsG*:VLVL = on",  # longitudinal W and Z
        *couplings,
        f"{RESONANCE}:m0 = {RESONANCE_GEV}",
        f"{RESONANCE}:mMin = {RESONANCE_GEV - 100}",
        f"{RESONANCE}:mMax = {RESONANCE_GEV + 100}",
        f"{RESONANCE}:mWidth = {WIDTH_GEV}",
        f"{RESONANCE}:doForceWidth = on",
        f"{RESONANCE}:onMode = off",
        f"{RESONANCE}:onIfAny = {' '.join(str(code) for code in decays)}",
        *hadronic,
    ]
    for line in settings:
        if not pythia.readString(line):
            raise RuntimeError(f"PYTHIA does not take: {line}")
    if not pythia.init():
        raise RuntimeError("PYTHIA cannot start")
    return pythia


def jets_of(decays: tuple[int, ...], seed: int) -> Iterator[list[float]]:
    """Yield the observables of one jet of a class after the other, without end."""
    pythia = collider(decays, seed)
    while True:
        if not pythia.next():
            continue
        visible = [
            fastjet.PseudoJet(p.px(), p.py(), p.pz(), p.e())
            for p in pythia.event
            if p.isFinal() and p.isVisible() and abs(p.eta()) < MAX_ETA
        ]
        # Status 22 and 23: what comes out of the hard process, before it decays or showers.
        origins = [(p.y(), p.phi()) for p in pythia.process if abs(p.status()) in (22, 23) and p.idAbs() in decays]
        clustering = fastjet.ClusterSequence(visible, ANTI_KT)
        for jet in fastjet.sorted_by_pt(clustering.inclusive_jets(JET_MIN_PT))[:2]:
            if any(_points_at(jet, *origin) for origin in origins):
                values = observables(jet)
                if values is not None:
                    yield values


def _points_at(jet: fastjet.PseudoJet, rapidity: float, azimuth: float) -> bool:
    turn = abs((jet.phi() - azimuth + np.pi) % (2 * np.pi) - np.pi)
    return bool(np.hypot(jet.rap() - rapidity, turn) < MATCH_DISTANCE)


def groom(jet: fastjet.PseudoJet) -> tuple[float, Constituents]:
    """Return the mass and the constituents that the modified mass-drop tagger leaves."""
    particles = [fastjet.PseudoJet(p.px(), p.py(), p.pz(), p.e()) for p in jet.constituents()]
    clustering = fastjet.ClusterSequence(particles, CAMBRIDGE)
    branch = fastjet.sorted_by_pt(clustering.inclusive_jets())[0]
    while True:
        one, other = fastjet.PseudoJet(), fastjet.PseudoJet()
        if not branch.has_parents(one, other):
            break
        softer, harder = (one, other) if one.perp() < other.perp() else (other, one)
        if softer.perp() > SOFT_SHARE * (softer.perp() + harder.perp()):
            break
        branch = harder
    return branch.m(), Constituents.of(branch.constituents())


@cache
def _triplets(count: int) -> np.ndarray:
    return np.array(list(combinations(range(count), 3))).T


def observables(jet: fastjet.PseudoJet) -> list[float] | None:
    """Return the 16 observables in the order of `FEATURES`; None for the rare jet with too few constituents."""
    everything = Constituents.of(jet.constituents()).shares()
    mass, groomed = groom(jet)
    groomed = groomed.hardest(MAX_CONSTITUENTS)
    z, theta = groomed.shares(), groomed.distances()
    if len(z) < 3:
        return None

    def pairs(b: int) -> float:
        first, second = np.triu_indices(len(z), 1)
        return float((z[first] * z[second] * theta[first, second] ** b).sum())

    i, j, k = _triplets(len(z))
    weight = z[i] * z[j] * z[k]
    angles = np.sort([theta[i, j], theta[i, k], theta[j, k]], axis=0)

    def triplets(smallest: int, b: int) -> float:
        return float((weight * angles[:smallest].prod(axis=0) ** b).sum())

    e2 = {b: pairs(b) for b in (0, 1, 2)}
    if min(e2.values()) <= 0:
        return None
    e3 = {(v, b): triplets(v, b) for v in (1, 2, 3) for b in (1, 2)}
    values = [float((everything * np.log(everything)).sum()), e2[0], e2[1], e2[2]]
    values += [e3[3, b] / e2[b] ** 2 for b in (1, 2)]  # C2
    values += [e3[3, b] / e2[b] ** 3 for b in (1, 2)]  # D2
    values += [e3[3, 1] / e2[b] ** (3 / b) for b in (1, 2)]  # D2 with two exponents
    values += [e3[1, b] / e2[b] for b in (1, 2)]  # M2
    values += [e3[2, b] / e2[b] ** 2 for b in (1, 2)]  # N2
    values += [mass, len(everything)]
    return values if np.isfinite(values).all() else None


def simulate(per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (observables, labels), the same number of every class, in random order."""
    rows: list[list[float]] = []
    labels: list[int] = []
    start = time.monotonic()
    for label, (name, decays) in enumerate(CLASSES.items()):
        jets = jets_of(decays, 10 * seed + label)
        rows += [next(jets) for _ in range(per_class)]
        labels += [label] * per_class
        print(f"{name}: {len(rows)} jets, {len(rows) / (time.monotonic() - start):.0f} a second", flush=True)
    order = np.random.default_rng(seed).permutation(len(rows))
    return np.array(rows, np.float32)[order], np.array(labels, np.int8)[order]


def main() -> None:
    """Simulate a training and a test part from different seeds, and write them as `.npz`."""
    parser = argparse.ArgumentParser(description="Simulate labelled LHC jets for data.npz.")
    parser.add_argument("--out", type=Path, default=Path("my_jets.npz"))
    parser.add_argument("--jets", type=int, default=1000, help="in all; one fifth is the test part")
    parser.add_argument("--seed", type=int, default=101, help="of the training part; the test part takes twice that")
    options = parser.parse_args()
    test = max(options.jets // 5 // len(CLASSES), 1)
    train = max(options.jets // len(CLASSES) - test, 1)
    x_train, y_train = simulate(train, options.seed)
    x_test, y_test = simulate(test, 2 * options.seed)
    names = {"features": np.array(FEATURES), "classes": np.array(list(CLASSES))}
    np.savez_compressed(options.out, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, **names)
    print(f"{options.out}: {len(x_train)} for training, {len(x_test)} for testing")


if __name__ == "__main__":
    main()
