"""Files that travel to a board as they are."""
