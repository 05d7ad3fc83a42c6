"""Streaming hardware (`io_type: io_stream`): stages joined by valid/ready streams."""
