// What the harness needs of a design: streams in and out with their handshakes, and what is visible inside.
// A beat is 32-bit words, every port starting at a new word, element 0 at the least significant end.
#pragma once
#include <cstdint>
#include <vector>

struct StreamInfo {
    unsigned words;        // 32-bit words of a beat
    unsigned beats;        // beats of a frame
    bool strobed = false;  // a tap: a strobe marks its beats; without one it is read every cycle
};

struct Dut {
    virtual ~Dut() = default;
    virtual void clock(bool level) = 0;
    virtual void reset(bool level) = 0;
    virtual void in_valid(unsigned stream, bool level) = 0;
    virtual void in_data(unsigned stream, const uint32_t* words) = 0;
    virtual bool in_ready(unsigned stream) const = 0;
    virtual void out_ready(unsigned stream, bool level) = 0;
    virtual bool out_valid(unsigned stream) const = 0;
    virtual void out_data(unsigned stream, uint32_t* words) const = 0;
    virtual bool tap_valid(unsigned tap) const = 0;
    virtual void tap_data(unsigned tap, uint32_t* words) const = 0;
    virtual unsigned link(unsigned link) const = 0;  // a stream inside: bit 0 its valid, bit 1 its ready
    virtual uint32_t mark(unsigned fifo) const = 0;  // the most items this FIFO has held
    virtual void eval() = 0;
    virtual void final() = 0;
    virtual bool error() const = 0;  // an assertion of the RTL failed
    virtual void trace_open(const char* path) = 0;
    virtual void trace(uint64_t time) = 0;
    virtual void trace_close() = 0;
};

Dut* make_dut(int argc, char** argv, unsigned seed);
extern const std::vector<StreamInfo> dut_in, dut_out, dut_taps;
extern const unsigned dut_links, dut_marks;
