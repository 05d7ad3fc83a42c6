"""`hwgen compare`: several builds side by side, each figure with its ratio to the first."""

from hwgen.compare.builds import compare
from hwgen.compare.column import Column
from hwgen.compare.comparison import Comparison

__all__ = ["Column", "Comparison", "compare"]
