"""The project's own benchmarks: `hwgen bench`."""
