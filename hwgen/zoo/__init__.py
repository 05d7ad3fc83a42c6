"""Efficient architectures, as `model.builder: hwgen.zoo:mobilenet_v2` (docs/architectures.md)."""

from hwgen.zoo.efficientnet import efficientnet, resolution
from hwgen.zoo.mobilenet import mobilenet_v1, mobilenet_v2
from hwgen.zoo.parts import Bits, SwishBits
from hwgen.zoo.resnet import resnet
from hwgen.zoo.squeezenet import squeezenet

__all__ = ["Bits", "SwishBits", "efficientnet", "mobilenet_v1", "mobilenet_v2", "resnet", "resolution", "squeezenet"]
