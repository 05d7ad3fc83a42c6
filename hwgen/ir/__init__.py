"""The graph: its node kinds, types, integer evaluation, and files."""

from hwgen.ir.graph import Graph
from hwgen.ir.nodes import Node, TensorType
from hwgen.ir.serialize import graph_digest, graph_files, graph_from_files, load_graph

__all__ = ["Graph", "Node", "TensorType", "graph_digest", "graph_files", "graph_from_files", "load_graph"]
