"""Finding and running external programs."""
