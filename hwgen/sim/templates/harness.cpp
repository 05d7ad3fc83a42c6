// The native bench: offers frames from a file to a design and writes down every transfer with its cycle.
// It knows neither the expected outputs nor the predicted latency; comparing is done by who started it.
//
// A cycle: drive inputs, let them settle, sample, rising edge. A transfer happens in a cycle in which valid and
// ready are both high and reset is low.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dut.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Random {  // xorshift64*
    uint64_t state;
    uint64_t next() {
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        return state * 2685821657736338717ULL;
    }
    bool chance(unsigned permille) { return permille && (next() >> 33) % 1000 < permille; }
};

[[noreturn]] void die(const std::string& text) {
    std::fprintf(stderr, "harness: %s\n", text.c_str());
    std::exit(2);
}

std::vector<uint32_t> read_words(const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (!file) die("cannot read " + path);
    std::fseek(file, 0, SEEK_END);
    std::vector<uint32_t> words(std::ftell(file) / 4);
    std::fseek(file, 0, SEEK_SET);
    if (std::fread(words.data(), 4, words.size(), file) != words.size()) die("cannot read " + path);
    std::fclose(file);
    return words;
}

constexpr uint64_t Surplus = 4096;  // outputs that nobody asked for, before the bench gives up

enum Violation : uint64_t { None = 0, ValidDropped = 1, DataChanged = 2, Assertion = 3 };

struct Bench {
    std::map<std::string, std::string> options;
    std::unique_ptr<Dut> dut;
    std::vector<uint32_t> frames;
    std::vector<uint64_t> in_stamps, out_stamps, reset_stamps, tap_stamps;
    std::vector<uint32_t> out_words, tap_words;
    uint64_t cycle = 0, violation = None, violation_cycle = 0, time = 0, reported_moves = 0;
    Clock::time_point started = Clock::now(), reported = started;

    uint64_t number(const char* key, uint64_t otherwise) const {
        auto found = options.find(key);
        return found == options.end() ? otherwise : std::strtoull(found->second.c_str(), nullptr, 10);
    }
    double elapsed() const { return std::chrono::duration<double>(Clock::now() - started).count(); }
    void violate(Violation kind) {
        if (violation == None) violation = kind, violation_cycle = cycle;
    }
    void report(uint64_t total) {
        if (cycle % 1024 || std::chrono::duration<double>(Clock::now() - reported).count() < 0.25) return;
        reported = Clock::now();
        if (in_stamps.size() + std::min(out_stamps.size(), in_stamps.size()) == reported_moves) return;
        reported_moves = in_stamps.size() + std::min(out_stamps.size(), in_stamps.size());
        std::fprintf(stderr, "progress %llu %llu\n", (unsigned long long)in_stamps.size(), (unsigned long long)total);
    }
    void power_up();
    void run();
    void save() const;
};

void Bench::power_up() {  // the first reset; what the registers held before it is random
    dut->reset(true), dut->in_valid(false), dut->out_ready(false);
    for (uint64_t i = 0; i < number("power-up-reset", 3); i++) {
        dut->clock(false), dut->eval();
        dut->clock(true), dut->eval();
    }
    dut->reset(false);
}

void Bench::run() {
    const uint64_t available = frames.size() / dut_in_words, first = number("first", 0);
    const uint64_t lap = available - first;
    uint64_t total = number("frames", lap);
    const unsigned gap = number("source-gap", 0), stall = number("sink-stall", 0);
    const uint64_t stuck = number("stuck", 1000000), tap_frame = number("tap-frame", ~0ULL);
    const uint64_t tap_cycles = number("tap-cycles", 0);
    const double seconds = options.count("seconds") ? std::atof(options["seconds"].c_str()) : 1e30;
    std::vector<uint32_t> resets;  // pairs: cycles after the last release, cycles held
    if (options.count("resets")) resets = read_words(options["resets"]);
    Random source{number("seed", 1) * 2 + 1}, sink{number("seed", 1) * 2 + 77777};
    const bool tracing = options.count("wave"), waits = number("sink-waits", 0);  // ready only after valid
    bool stopped = false, offering = false, held = false, trace_open = false, seen_valid = false;
    std::vector<uint32_t> now(dut_out_words), before(dut_out_words), tap(dut_tap_words);
    uint64_t quiet = 0, idle = 0, reset_left = 0, released = 0;
    size_t next_reset = 0;
    if (!lap && total) die("no frames");
    for (;; cycle++) {
        const uint64_t sent = in_stamps.size();
        if (next_reset < resets.size() && !reset_left && cycle - released >= resets[next_reset]) {
            reset_left = resets[next_reset + 1];
            reset_stamps.push_back(cycle);
        }
        const bool in_reset = reset_left > 0;
        if (sent >= total && next_reset >= resets.size()) stopped = true;
        if (cycle % 256 == 0 && elapsed() > seconds) stopped = true;
        if (!offering && !stopped) {
            offering = !source.chance(gap);
            // While nothing is offered, some other frame stands on the data port: it must not matter.
            const uint64_t shown = offering ? sent % lap : source.next() % lap;
            dut->in_data(&frames[(first + shown) * dut_in_words]);
        }
        const bool take = !sink.chance(stall) && (!waits || seen_valid);
        dut->reset(in_reset), dut->in_valid(offering), dut->out_ready(take);
        dut->clock(false), dut->eval();

        const bool accepted = !in_reset && offering && dut->in_ready();
        const bool valid = !in_reset && dut->out_valid();
        if (valid) dut->out_data(now.data());
        if (held && !in_reset) {  // offered and not taken in the last cycle
            if (!valid) violate(ValidDropped);
            else if (now != before) violate(DataChanged);
        }
        if (tracing && !trace_open && sent >= tap_frame) dut->trace_open(options["wave"].c_str()), trace_open = true;
        if (accepted) in_stamps.push_back(cycle), offering = false;
        if (dut_tap_words && in_stamps.size() > tap_frame && cycle <= in_stamps[tap_frame] + tap_cycles) {
            dut->taps(tap.data());
            tap_stamps.push_back(cycle);
            tap_words.insert(tap_words.end(), tap.begin(), tap.end());
        }
        if (valid && take) out_stamps.push_back(cycle), out_words.insert(out_words.end(), now.begin(), now.end());
        held = valid && !take, seen_valid = held;
        if (held) before = now;
        if (trace_open) dut->trace(time++);
        dut->clock(true), dut->eval();
        if (trace_open) dut->trace(time++);
        if (dut->error()) violate(Assertion);
        if (violation == Assertion) break;

        if (in_reset && --reset_left == 0) {
            next_reset += 2, released = cycle + 1;
            reset_stamps.push_back(cycle + 1);
            if (next_reset >= resets.size()) total = in_stamps.size() + number("tail", 64);
        }
        quiet = accepted || (valid && take) ? 0 : quiet + 1;
        // Done: nothing more to send, and quiet for much longer than the first frame took.
        idle = out_stamps.empty() || in_stamps.empty() ? stuck : std::max<uint64_t>(256, 4 * (out_stamps[0] - in_stamps[0]));
        if (stopped && next_reset >= resets.size() && out_stamps.size() >= in_stamps.size() && quiet > std::min(idle, stuck)) break;
        if (stopped && next_reset >= resets.size() && quiet > idle * 4) break;
        if (quiet > stuck || out_stamps.size() > in_stamps.size() + Surplus) break;
        report(total);
    }
    if (trace_open) dut->trace_close();
}

void Bench::save() const {
    std::FILE* file = std::fopen(options.at("out").c_str(), "wb");
    if (!file) die("cannot write " + options.at("out"));
    const double spent = elapsed();
    uint64_t micros = uint64_t(spent * 1e6);
    const uint64_t header[] = {0x68776765, in_stamps.size(), out_stamps.size(), reset_stamps.size(), tap_stamps.size(),
                               cycle, violation, violation_cycle, micros};
    bool good = true;
    auto put = [&](const void* data, size_t size) { good = good && (!size || std::fwrite(data, size, 1, file) == 1); };
    put(header, sizeof header);
    for (const auto* stamps : {&in_stamps, &out_stamps, &reset_stamps, &tap_stamps}) put(stamps->data(), stamps->size() * 8);
    for (const auto* words : {&out_words, &tap_words}) put(words->data(), words->size() * 4);
    if (std::fclose(file) || !good) die("cannot write " + options.at("out"));
}

}  // namespace

int main(int argc, char** argv) {
    Bench bench;
    for (int i = 1; i + 1 < argc; i += 2) bench.options[std::string(argv[i]).substr(2)] = argv[i + 1];
    if (!bench.options.count("in") || !bench.options.count("out")) die("usage: --in FILE --out FILE [--key value ...]");
    bench.frames = read_words(bench.options["in"]);
    bench.dut.reset(make_dut(argc, argv, bench.number("init-seed", 1)));
    bench.power_up();
    bench.run();
    bench.dut->final();
    bench.save();
    return 0;
}
