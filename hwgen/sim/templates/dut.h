// What the harness needs of a design: one frame in, one frame out, and the handshake.
// Frames are 32-bit words, every port starting at a new word, element 0 at the least significant end.
#pragma once
#include <cstdint>

struct Dut {
    virtual ~Dut() = default;
    virtual void clock(bool level) = 0;
    virtual void reset(bool level) = 0;
    virtual void in_valid(bool level) = 0;
    virtual void in_data(const uint32_t* words) = 0;
    virtual bool in_ready() const = 0;
    virtual void out_ready(bool level) = 0;
    virtual bool out_valid() const = 0;
    virtual void out_data(uint32_t* words) const = 0;
    virtual void taps(uint32_t* words) const = 0;
    virtual void eval() = 0;
    virtual void final() = 0;
    virtual bool error() const = 0;  // an assertion of the RTL failed
    virtual void trace_open(const char* path) = 0;
    virtual void trace(uint64_t time) = 0;
    virtual void trace_close() = 0;
};

Dut* make_dut(int argc, char** argv, unsigned seed);
extern const unsigned dut_in_words, dut_out_words, dut_tap_words;
