"""Streaming hardware (`io_type: io_stream`): stages joined by valid/ready streams (docs/rtl/streaming.md)."""

from hwgen.rtl.stream.folding import FoldRequest
from hwgen.rtl.stream.generate import StreamPlan, emit_stream, plan_stream, prediction_document

__all__ = ["FoldRequest", "StreamPlan", "emit_stream", "plan_stream", "prediction_document"]
