"""Strings as 64-bit hashes in numpy arrays: millions of keys or names in a few bytes each.

The hash is a polynomial over the UTF-8 bytes, modulo 2^64, so the hash of any part of a text comes
out of its running sum with one subtraction and one multiplication, for a whole array of parts at
once. Two different strings share a hash with a chance of about 5e-20; among the 6 million titles
of Wikipedia the chance that any two do is about one in a million, and equal hashes are taken for
equal strings. Everything here is the same on every machine and in every process.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)


class Roller:
    """Hashes of parts of byte strings. Keeps tables as long as the longest string it has seen."""

    def __init__(self) -> None:
        self._powers = self._inverses = np.ones(1, np.uint64)

    def sums(self, data: npt.NDArray[np.uint8]) -> Hashes:
        """[len + 1] running sums, from which `parts` takes hashes."""
        self._grow(len(data) + 1)
        sums = np.zeros(len(data) + 1, np.uint64)
        terms = data.astype(np.uint64)
        terms += np.uint64(1)
        terms *= self._powers[: len(data)]
        np.cumsum(terms, out=sums[1:])
        return sums

    def inverses(self, starts: npt.NDArray[np.int64]) -> Hashes:
        """[p] factors for differences of sums, for parts that begin at `starts`."""
        return self._inverses[starts]

    def _grow(self, size: int) -> None:
        if size > len(self._powers):
            size = max(size, 2 * len(self._powers), 1 << 16)
            self._powers = _powers(_BASE, size)
            self._inverses = _powers(_INVERSE, size)


def _powers(base: int, size: int) -> Hashes:
    factors = np.full(size, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)


def mix(values: Hashes) -> Hashes:
    """`values` with every bit spread over all others, so that high bits serve as table places."""
    values = values ^ (values >> _HALF)
    values *= _MIX
    values ^= values >> _HALF
    values *= _MIX
    values ^= values >> _HALF
    return values


def hash_strings(values: Sequence[str], roller: Roller | None = None) -> Hashes:
    """[n] the hash of every string; unpaired surrogates hash like any other character."""
    encoded = [value.encode("utf-8", "surrogatepass") for value in values]
    ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if len(ends) else ends
    roller = roller or Roller()
    sums = roller.sums(np.frombuffer(b"".join(encoded), np.uint8))
    return mix((sums[ends] - sums[starts]) * roller.inverses(starts))


class KeySet:
    """Strings seen so far, 8 bytes each: sorted runs that are merged when they grow alike."""

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def add(self, keys: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Take `keys` in order; [n] whether each is new, that is neither seen nor repeated."""
        hashes = hash_strings(keys)
        first = np.zeros(len(hashes), np.bool_)
        first[np.unique(hashes, return_index=True)[1]] = True
        for run in self._runs:
            first &= ~contains(run, hashes)
        if first.any():
            self._runs.append(np.sort(hashes[first]))
        while len(self._runs) > 1 and 2 * len(self._runs[-1]) > len(self._runs[-2]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate((self._runs[-1], last)), kind="stable")
        return first


def places(ordered: Hashes, hashes: Hashes) -> npt.NDArray[np.int64]:
    """[n] where each hash stands in the sorted `ordered`; -1 where it does not."""
    if len(ordered) == 0:
        return np.full(len(hashes), -1, np.int64)
    found = np.searchsorted(ordered, hashes)
    found[found == len(ordered)] = 0
    return np.where(ordered[found] == hashes, found, -1)


def contains(ordered: Hashes, hashes: Hashes) -> npt.NDArray[np.bool_]:
    """[n] whether each hash is in the sorted `ordered`."""
    return places(ordered, hashes) >= 0
