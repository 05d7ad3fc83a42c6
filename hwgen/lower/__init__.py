"""From a QKeras model through hls4ml to HLS C++ and our Graph. Imports hls4ml, inside functions.

Read `lowering.py` first; `quantizers.py` says what every QKeras quantizer means, `vendor.py` holds every private name
of hls4ml and QKeras.
"""

from hwgen.lower.check import check_model
from hwgen.lower.lowering import Lowered, lower_model

__all__ = ["Lowered", "check_model", "lower_model"]
