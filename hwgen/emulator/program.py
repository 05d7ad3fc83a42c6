"""What goes with the emulator: a program that reads frames, a CMake file, a README, frames to check it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.files import FileSet
from hwgen.fixed import IntArray
from hwgen.ir import Graph

if TYPE_CHECKING:
    from hwgen.emulator.generate import Port

GOLDEN_FRAMES = 8


def pack(ports: Sequence[Port], values: Mapping[str, IntArray]) -> bytes:
    """Return frames as the program reads and writes them: little-endian, port after port, frame after frame.

    Parameters
    ----------
    values : {port name: integers (frames, \\*shape)}
    """
    rows = []
    for port in ports:
        array = np.asarray(values[port.name])
        whole = array.reshape(len(array), -1).astype(_dtype(port))
        rows.append(whole.view(np.uint8).reshape(len(whole), port.bytes))
    return np.concatenate(rows, axis=1).tobytes()


def unpack(ports: Sequence[Port], content: bytes) -> dict[str, IntArray]:
    """Return {port name: integers (frames, elements)}: the reverse of `pack`."""
    raw = np.frombuffer(content, np.uint8).reshape(-1, sum(port.bytes for port in ports))
    result, place = {}, 0
    for port in ports:
        part = np.ascontiguousarray(raw[:, place : place + port.bytes])
        result[port.name] = part.view(_dtype(port)).astype(np.int64)
        place += port.bytes
    return result


def _dtype(port: Port) -> Any:
    return np.dtype("<i8" if "64" in port.ctype else "<i4")


def golden_files(graph: Graph, inputs: Sequence[Port], outputs: Sequence[Port]) -> FileSet:
    """Return a few random frames and what the graph makes of them."""
    rng = np.random.default_rng(0)
    frames = {
        node.name: rng.integers(node.fmt.int_min, node.fmt.int_max, (GOLDEN_FRAMES, *node.shape), endpoint=True)
        for node in graph.inputs
    }
    results = graph.evaluate(frames)
    return FileSet({"golden_in.bin": pack(inputs, frames), "golden_out.bin": pack(outputs, results)})


def main_file(name: str, inputs: Sequence[Port]) -> str:
    """Return the program: frames from a file to a file."""
    return f"""\
// usage: {name}_emulator IN OUT           IN: frames of {name}::input_bytes bytes, OUT: results of output_bytes bytes
//        {name}_emulator --check IN OUT   compare with OUT instead of writing it
// Exit status: 0; 1 a difference; 2 a file or an integer that does not fit.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "{name}.h"

namespace {{

bool read(const char* path, std::vector<unsigned char>& bytes) {{
    std::FILE* file = std::fopen(path, "rb");
    if (!file) return false;
    unsigned char block[1 << 16];
    for (std::size_t n; (n = std::fread(block, 1, sizeof block, file)) > 0;)
        bytes.insert(bytes.end(), block, block + n);
    const bool good = !std::ferror(file);
    std::fclose(file);
    return good;
}}

int fail(const std::string& text) {{
    std::fprintf(stderr, "{name}_emulator: %s\\n", text.c_str());
    return 2;
}}

}}  // namespace

int main(int argc, char** argv) {{
    using namespace {name};
    const bool check = argc == 4 && !std::strcmp(argv[1], "--check");
    if (argc != 3 && !check) return fail("usage: [--check] IN OUT");
    const char *in = argv[argc - 2], *out = argv[argc - 1];
    std::vector<unsigned char> frames, wanted;
    if (!read(in, frames)) return fail(std::string("cannot read ") + in);
    if (frames.size() % input_bytes) return fail(std::string(in) + " does not end at the end of a frame");
    if (check && !read(out, wanted)) return fail(std::string("cannot read ") + out);
    const std::size_t count = frames.size() / input_bytes;
    std::vector<unsigned char> results(count * output_bytes);
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < count; ++i)
        if (!infer_bytes(&frames[i * input_bytes], &results[i * output_bytes]))
            return fail("frame " + std::to_string(i) + ": an integer lies outside its input's format");
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::fprintf(stderr, "frames %zu seconds %.6f\\n", count, seconds);
    if (check) {{
        if (wanted.size() != results.size()) return fail(std::string(out) + " holds another number of results");
        for (std::size_t i = 0; i < count; ++i)
            if (std::memcmp(&wanted[i * output_bytes], &results[i * output_bytes], output_bytes))
                return std::fprintf(stderr, "frame %zu differs\\n", i), 1;
        return 0;
    }}
    std::FILE* file = std::fopen(out, "wb");
    if (!file) return fail(std::string("cannot write ") + out);
    const bool good = std::fwrite(results.data(), 1, results.size(), file) == results.size();
    return std::fclose(file) || !good ? fail(std::string("cannot write ") + out) : 0;
}}
"""


def cmake_file(name: str) -> str:
    """Return CMakeLists.txt: a library, the program, and the check of the frames that came with it."""
    return f"""\
cmake_minimum_required(VERSION 3.13)
project({name}_emulator LANGUAGES CXX)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

add_library({name} {name}.cpp {name}_weights.cpp)
target_include_directories({name} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})

add_executable({name}_emulator main.cpp)
target_link_libraries({name}_emulator PRIVATE {name})

enable_testing()
add_test(NAME golden COMMAND {name}_emulator --check golden_in.bin golden_out.bin
         WORKING_DIRECTORY ${{CMAKE_CURRENT_SOURCE_DIR}})
"""


def readme(name: str, inputs: Sequence[Port], outputs: Sequence[Port]) -> str:
    """Return the README."""
    rows = [_row("in", port) for port in inputs] + [_row("out", port) for port in outputs]
    return f"""\
# {name}: the network in C++, bit for bit

The same integers as the hardware, from plain C++17: no library, no file to load, no Python.

    cmake -S . -B build && cmake --build build && ctest --test-dir build

or without CMake:

    g++ -std=c++17 -O2 {name}.cpp {name}_weights.cpp main.cpp -o {name}_emulator
    ./{name}_emulator --check golden_in.bin golden_out.bin

In a program of your own: `#include "{name}.h"`, compile the first two files, call `{name}::infer`. It has a form
for integers (what the hardware's ports carry) and one for reals, which are rounded to the nearest integer, ties to
even, and saturated, as the host does. It may be called from several threads.

| | argument | shape | format | C++ type | an integer n stands for | bytes a frame |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Arrays are in row-major order, the last axis fastest. `{name}_emulator IN OUT` reads frames and writes results:
integers of the C++ type above, little-endian, the inputs of a frame one after the other in the order above, frame
after frame; likewise the outputs.

Every type was chosen by proof: with inputs within their formats no integer overflows. Right shifts of negative integers
must be arithmetic (checked when compiling), and `__int128` (GCC, Clang) is used only where a proven range needs it.

Licence of these files: Apache-2.0.
"""


def _row(way: str, port: Port) -> str:
    shape = " x ".join(map(str, port.type.shape))
    step = f"n * 2^{-port.type.fraction}"
    return f"| {way} | `{port.argument}` | {shape} | `{port.type.fmt}` | `{port.ctype}` | {step} | {port.bytes} |"
