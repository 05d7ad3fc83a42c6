"""component.xml: the design as an IP-XACT component (IEEE 1685-2009, with the extensions that Vivado reads)."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from hwgen.handoff.boundary import Boundary, Port, parameters_of

SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
XILINX = "http://www.xilinx.com"
VENDOR, LIBRARY, VERSION = "hwgen", "nn", "1.0"
FAMILIES = ("artix7", "kintex7", "virtex7", "zynq", "kintexu", "kintexuplus", "virtexuplus", "zynquplus")
"""Families that Vivado should offer the component for. The RTL is not tied to any."""

LOGICAL = {"CLK": ("signal", "clock"), "RST": ("signal", "reset")}


def component_xml(made: Boundary, top: str, sources: Sequence[str], constraints: str, description: str) -> str:
    """Return component.xml of the module ``<top>_ip``.

    Parameters
    ----------
    made : the boundary of the module inside, whose ports ``<top>_ip`` has
    top : name of the component
    sources : its files in compile order, relative to component.xml
    constraints : an XDC file for synthesis out of context
    """
    root = ElementTree.Element(f"{{{SPIRIT}}}component")
    for tag, text in (("vendor", VENDOR), ("library", LIBRARY), ("name", f"{top}_ip"), ("version", VERSION)):
        _add(root, tag, text)
    busses = _add(root, "busInterfaces")
    for bus in dict.fromkeys(port.bus for port in made.ports if port.bus):
        _bus(busses, made, bus, [port for port in made.ports if port.bus == bus])
    model = _add(root, "model")
    views = _add(model, "views")
    for name, stage in (
        ("xilinx_anylanguagesynthesis", "synthesis"),
        ("xilinx_anylanguagebehavioralsimulation", "simulation"),
    ):
        view = _add(views, "view")
        _add(view, "name", name)
        _add(view, "envIdentifier", f":vivado.xilinx.com:{stage}")
        _add(view, "language", "Verilog")
        _add(view, "modelName", f"{top}_ip")
        _add(_add(view, "fileSetRef"), "localName", f"{name}_view_fileset")
    ports = _add(model, "ports")
    for port in made.ports:
        _port(ports, port)
    sets = _add(root, "fileSets")
    for name in ("xilinx_anylanguagesynthesis", "xilinx_anylanguagebehavioralsimulation"):
        files = _add(sets, "fileSet")
        _add(files, "name", f"{name}_view_fileset")
        for path in sources:
            _file(files, path, "systemVerilogSource" if path.endswith(".sv") else "verilogSource")
        if name.endswith("synthesis"):
            _file(files, constraints, None)
    _add(root, "description", description)
    parameters = _add(root, "parameters")
    parameter = _add(parameters, "parameter")
    _add(parameter, "name", "Component_Name")
    value = _add(parameter, "value", f"{top}_ip_v1_0")
    value.set(f"{{{SPIRIT}}}id", "PARAM_VALUE.Component_Name")
    value.set(f"{{{SPIRIT}}}resolve", "user")
    _extensions(root, top)
    return _text(root)


def _add(parent: ElementTree.Element, tag: str, text: str | None = None, space: str = SPIRIT) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, f"{{{space}}}{tag}")
    element.text = text
    return element


def _name(parent: ElementTree.Element, tag: str, vendor: str, library: str, name: str) -> None:
    element = _add(parent, tag)
    for key, value in (("vendor", vendor), ("library", library), ("name", name), ("version", "1.0")):
        element.set(f"{{{SPIRIT}}}{key}", value)


def _bus(parent: ElementTree.Element, made: Boundary, name: str, ports: Sequence[Port]) -> None:
    library, kind = LOGICAL.get(str(ports[0].signal), ("interface", "axis"))
    bus = _add(parent, "busInterface")
    _add(bus, "name", name)
    _name(bus, "busType", "xilinx.com", library, kind)
    _name(bus, "abstractionType", "xilinx.com", library, f"{kind}_rtl")
    _add(bus, "master" if made.streams.get(name) == "out" else "slave")
    maps = _add(bus, "portMaps")
    for port in ports:
        pair = _add(maps, "portMap")
        _add(_add(pair, "logicalPort"), "name", port.signal)
        _add(_add(pair, "physicalPort"), "name", port.name)
    data = next((port.width for port in ports if port.signal == "TDATA"), None)
    axis = {"TDATA_NUM_BYTES": str(data // 8), "HAS_TREADY": "1", "HAS_TLAST": "1"} if data else {}
    values = parameters_of(made, ports[0]) | axis
    if values:
        parameters = _add(bus, "parameters")
        for key, text in values.items():
            parameter = _add(parameters, "parameter")
            _add(parameter, "name", key)
            _add(parameter, "value", text).set(f"{{{SPIRIT}}}id", f"BUSIFPARAM_VALUE.{name.upper()}.{key}")


def _port(parent: ElementTree.Element, port: Port) -> None:
    element = _add(parent, "port")
    _add(element, "name", port.name)
    wire = _add(element, "wire")
    _add(wire, "direction", port.way)
    if port.width:
        vector = _add(wire, "vector")
        for tag, value in (("left", port.width - 1), ("right", 0)):
            _add(vector, tag, str(value)).set(f"{{{SPIRIT}}}format", "long")
    kinds = _add(_add(wire, "wireTypeDefs"), "wireTypeDef")
    _add(kinds, "typeName", "wire")
    for view in ("xilinx_anylanguagesynthesis", "xilinx_anylanguagebehavioralsimulation"):
        _add(kinds, "viewNameRef", view)


def _file(parent: ElementTree.Element, path: str, kind: str | None) -> None:
    file = _add(parent, "file")
    _add(file, "name", path)
    if kind is None:
        _add(file, "userFileType", "xdc")
        _add(file, "userFileType", "USED_IN_out_of_context")
    else:
        _add(file, "fileType", kind)


def _extensions(root: ElementTree.Element, top: str) -> None:
    core = _add(_add(root, "vendorExtensions"), "coreExtensions", space=XILINX)
    families = _add(core, "supportedFamilies", space=XILINX)
    for name in FAMILIES:
        _add(families, "family", name, space=XILINX).set(f"{{{XILINX}}}lifeCycle", "Production")
    _add(_add(core, "taxonomies", space=XILINX), "taxonomy", "/UserIP", space=XILINX)
    _add(core, "displayName", f"{top}_ip", space=XILINX)
    _add(core, "coreRevision", "1", space=XILINX)


def _text(root: ElementTree.Element) -> str:
    ElementTree.register_namespace("spirit", SPIRIT)
    ElementTree.register_namespace("xilinx", XILINX)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
