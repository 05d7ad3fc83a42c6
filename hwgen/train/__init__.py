"""Training, pruning, data sets. Imports TensorFlow, inside functions."""
