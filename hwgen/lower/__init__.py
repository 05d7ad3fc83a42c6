"""From a QKeras model through hls4ml to HLS C++ and our Graph. Imports hls4ml, inside functions."""
