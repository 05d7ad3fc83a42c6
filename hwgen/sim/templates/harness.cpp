// The native bench: offers frames from a file to a design and writes down every transfer with its cycle.
// It knows neither the expected outputs nor the predicted latency; comparing is done by who started it.
//
// A cycle: drive inputs, let them settle, sample, rising edge. A transfer happens in a cycle in which valid and
// ready are both high and reset is low. Every stream is driven by itself: no source waits for another one.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
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

constexpr uint64_t Never = ~0ULL;
constexpr uint64_t Surplus = 4096;  // outputs that nobody asked for, before the bench gives up

enum Violation : uint64_t { None = 0, ValidDropped = 1, DataChanged = 2, Assertion = 3 };
enum Ended : uint64_t { Complete = 0, NoProgress = 1, TooMany = 2, Failed = 3, Missing = 4 };

struct Source {  // offers an input stream beat by beat
    unsigned stream;
    StreamInfo info;
    size_t offset;  // of its words in a frame
    Random random;
    uint64_t frame = 0, beat = 0;           // the next to be accepted
    uint64_t resume = 0, pause_before = 0;  // a pause: its end, and the beat it comes before
    const uint32_t* data = nullptr;         // what stands on the data port
    bool offering = false, paused = false;
    std::vector<uint64_t> stamps{};
    uint64_t begun() const { return frame + (beat > 0); }
    void choose_pause() {
        if (info.beats > 1) pause_before = 1 + random.next() % (info.beats - 1);
    }
};

struct Sink {  // takes an output stream
    unsigned stream;
    StreamInfo info;
    Random random;
    std::vector<uint32_t> now, before;
    bool take = false, held = false;
    uint64_t since_reset = 0;  // beats
    std::vector<uint64_t> stamps{};
    std::vector<uint32_t> words{};
};

struct Tap {
    unsigned tap;
    StreamInfo info;
    uint64_t count = 0;
    std::vector<uint64_t> stamps{};
    std::vector<uint32_t> words{};
};

struct Bench {
    std::map<std::string, std::string> options;
    std::unique_ptr<Dut> dut;
    std::vector<uint32_t> frames, resets;  // resets: pairs of cycles after the last release, cycles held
    std::vector<Source> sources;
    std::vector<Sink> sinks;
    std::vector<Tap> taps;
    std::FILE* recording = nullptr;
    std::vector<uint64_t> reset_stamps, state;  // triples: asserted, released, the first frame afterwards
    size_t frame_words = 0, next_reset = 0;
    uint64_t cycle = 0, violation = None, violation_cycle = 0, violation_stream = 0, ended = Complete, time = 0;
    uint64_t first = 0, lap = 0, total = 0, pace = 0, pause = 0, tap_frame = Never, tap_cycles = 0;
    uint64_t reset_left = 0, released = 0, epoch_frame = 0, epoch_start = Never, latency = Never;
    unsigned gap = 0, stall = 0;
    Clock::time_point started = Clock::now(), reported = started;

    uint64_t number(const char* key, uint64_t otherwise) const {
        auto found = options.find(key);
        return found == options.end() ? otherwise : std::strtoull(found->second.c_str(), nullptr, 10);
    }
    double elapsed() const { return std::chrono::duration<double>(Clock::now() - started).count(); }
    void violate(Violation kind, unsigned stream = 0) {
        if (violation == None) violation = kind, violation_cycle = cycle, violation_stream = stream;
    }
    uint64_t begun() const {
        uint64_t most = 0;
        for (const Source& s : sources) most = std::max(most, s.begun());
        return most;
    }
    void report() {
        if (cycle % 1024 || std::chrono::duration<double>(Clock::now() - reported).count() < 0.25) return;
        reported = Clock::now();
        std::fprintf(stderr, "progress %llu %llu\n", (unsigned long long)begun(), (unsigned long long)total);
    }
    void set_up();
    void power_up();
    void run();
    void start_reset(uint64_t held);
    void offer(Source& s, uint64_t limit);
    void accept(Source& s);
    bool sample(Sink& s, bool in_reset);
    void sample(Tap& t);
    bool sent(uint64_t limit) const;
    bool received() const;
    bool surplus() const;
    void record(bool in_reset);
    void look_around();
    void save() const;
};

void Bench::set_up() {
    const uint64_t seed = number("seed", 1);
    for (unsigned i = 0; i < dut_in.size(); i++) {
        sources.push_back({i, dut_in[i], frame_words, {(seed + 7919 * i) * 2 + 1}});
        frame_words += size_t(dut_in[i].words) * dut_in[i].beats;
    }
    for (unsigned i = 0; i < dut_out.size(); i++) {
        const std::vector<uint32_t> none(dut_out[i].words);
        sinks.push_back({i, dut_out[i], {(seed + 104729 * i) * 2 + 77777}, none, none});
    }
    for (unsigned i = 0; i < dut_taps.size(); i++) taps.push_back({i, dut_taps[i]});
    frames = read_words(options["in"]);
    if (options.count("resets")) resets = read_words(options["resets"]);
    first = number("first", 0), lap = frames.size() / frame_words - first, total = number("frames", lap);
    gap = number("source-gap", 0), stall = number("sink-stall", 0);
    pace = number("pace", 0), pause = number("source-pause", 0);
    if (pause) for (Source& s : sources) s.choose_pause();
    tap_frame = number("tap-frame", Never), tap_cycles = number("tap-cycles", 0);
    if (!lap && total) die("no frames");
}

void Bench::power_up() {  // the first reset; what the registers held before it is random
    dut->reset(true);
    for (Source& s : sources) dut->in_valid(s.stream, false);
    for (Sink& s : sinks) dut->out_ready(s.stream, false);
    for (uint64_t i = 0; i < number("power-up-reset", 3); i++) {
        dut->clock(false), dut->eval();
        dut->clock(true), dut->eval();
    }
    dut->reset(false);
}

void Bench::start_reset(uint64_t held) {  // every source then starts at the same frame, at its beginning
    epoch_frame = begun(), epoch_start = Never, reset_left = held;
    for (Source& s : sources) s.frame = epoch_frame, s.beat = s.resume = 0, s.offering = s.paused = false;
    for (Sink& s : sinks) s.since_reset = 0, s.held = false;
    reset_stamps.insert(reset_stamps.end(), {cycle, Never, epoch_frame});
}

void Bench::offer(Source& s, uint64_t limit) {
    if (s.offering || s.frame >= limit) return;
    if (pause && !s.paused && s.beat == s.pause_before) s.paused = true, s.resume = cycle + pause;
    bool go = cycle >= s.resume && !s.random.chance(gap);
    if (pace && !s.beat && s.frame > epoch_frame)
        go = go && epoch_start != Never && cycle >= epoch_start + (s.frame - epoch_frame) * pace;
    s.offering = go;
    // While nothing is offered, some other beat stands on the data port: it must not matter.
    const uint64_t frame = go ? s.frame % lap : s.random.next() % lap;
    const uint64_t beat = s.info.beats == 1 ? 0 : go ? s.beat : s.random.next() % s.info.beats;
    s.data = &frames[(first + frame) * frame_words + s.offset + beat * s.info.words];
    dut->in_data(s.stream, s.data);
}

void Bench::accept(Source& s) {
    s.stamps.push_back(cycle), s.offering = false;
    if (epoch_start == Never) epoch_start = cycle;
    if (++s.beat < s.info.beats) return;
    s.beat = 0, s.frame++, s.paused = false;
    if (pause) s.choose_pause();
}

bool Bench::sample(Sink& s, bool in_reset) {  // returns whether a beat was taken
    const bool valid = !in_reset && dut->out_valid(s.stream);
    if (valid) dut->out_data(s.stream, s.now.data());
    if (s.held && !in_reset) {  // offered and not taken in the last cycle
        if (!valid) violate(ValidDropped, s.stream);
        else if (s.now != s.before) violate(DataChanged, s.stream);
    }
    s.held = valid && !s.take;
    if (s.held) s.before = s.now;
    if (!valid || !s.take) return false;
    s.since_reset++;
    s.stamps.push_back(cycle), s.words.insert(s.words.end(), s.now.begin(), s.now.end());
    return true;
}

void Bench::sample(Tap& t) {
    const Source& source = sources[0];
    const uint64_t at = tap_frame * (t.info.strobed ? t.info.beats : source.info.beats);
    if (t.info.strobed) {
        if (!dut->tap_valid(t.tap)) return;
        const uint64_t index = t.count++;
        if (index < at || index >= at + t.info.beats) return;
    } else if (source.stamps.size() <= at || cycle > source.stamps[at] + tap_cycles) {
        return;
    }
    t.stamps.push_back(cycle), t.words.resize(t.words.size() + t.info.words);
    dut->tap_data(t.tap, &t.words[t.words.size() - t.info.words]);
}

void Bench::record(bool in_reset) {  // one cycle: reset, then of each stream valid, ready and data
    std::vector<uint32_t> row = {in_reset};
    for (const Source& s : sources) {
        row.insert(row.end(), {s.offering, dut->in_ready(s.stream)});
        if (s.data) row.insert(row.end(), s.data, s.data + s.info.words);
        else row.resize(row.size() + s.info.words);
    }
    for (Sink& s : sinks) {
        row.insert(row.end(), {dut->out_valid(s.stream), s.take});
        row.resize(row.size() + s.info.words);
        dut->out_data(s.stream, &row[row.size() - s.info.words]);
    }
    if (std::fwrite(row.data(), 4, row.size(), recording) != row.size()) die("cannot write " + options["record"]);
}

bool Bench::sent(uint64_t limit) const {
    for (const Source& s : sources) if (s.frame < limit) return false;
    return true;
}

bool Bench::received() const {  // everything that the frames since the last reset have to give
    const uint64_t count = begun() - epoch_frame;
    for (const Sink& s : sinks) if (s.since_reset < count * s.info.beats) return false;
    return true;
}

bool Bench::surplus() const {
    for (const Sink& s : sinks) if (s.stamps.size() > begun() * s.info.beats + Surplus) return true;
    return false;
}

void Bench::run() {
    const uint64_t stuck = number("stuck", 1000000), at_least = number("min-frames", 0), tail = number("tail", 64);
    const double seconds = options.count("seconds") ? std::atof(options["seconds"].c_str()) : 1e30;
    const bool waits = number("sink-waits", 0);  // ready only after valid
    const uint64_t wave_from = number("wave-from", 0), wave_cycles = number("wave-cycles", Never);
    bool tracing = options.count("wave");
    const bool tapping = !taps.empty() && tap_frame != Never;
    bool trace_open = false;
    if (options.count("record") && !(recording = std::fopen(options["record"].c_str(), "wb")))
        die("cannot write " + options["record"]);
    uint64_t quiet = 0;
    for (;; cycle++) {
        if (next_reset < resets.size() && !reset_left && cycle - released >= resets[next_reset])
            start_reset(resets[next_reset + 1]);
        const bool in_reset = reset_left > 0;
        if (cycle % 256 == 0 && elapsed() > seconds) {  // stops at a frame's end
            uint64_t most = at_least;
            for (const Source& s : sources) most = std::max(most, s.begun() + (s.offering && !s.beat));
            total = std::min(total, most);
        }
        const uint64_t limit = next_reset < resets.size() ? Never : total;
        dut->reset(in_reset);
        for (Source& s : sources) offer(s, limit), dut->in_valid(s.stream, s.offering);
        for (Sink& s : sinks) s.take = !s.random.chance(stall) && (!waits || s.held), dut->out_ready(s.stream, s.take);
        dut->clock(false), dut->eval();

        if (tracing && !trace_open && begun() >= tap_frame && cycle >= wave_from)
            dut->trace_open(options["wave"].c_str()), trace_open = true;
        if (recording) record(in_reset);
        bool moved = false;
        if (!in_reset)
            for (Source& s : sources) if (s.offering && dut->in_ready(s.stream)) accept(s), moved = true;
        for (Sink& s : sinks) moved |= sample(s, in_reset);
        if (tapping && !in_reset) for (Tap& t : taps) sample(t);
        if (trace_open) dut->trace(time++);
        dut->clock(true), dut->eval();
        if (trace_open) dut->trace(time++);
        if (trace_open && time / 2 >= wave_cycles) dut->trace_close(), trace_open = tracing = false;
        if (dut->error()) violate(Assertion);
        if (violation == Assertion) { ended = Failed; break; }

        if (in_reset && --reset_left == 0) {
            next_reset += 2, released = cycle + 1, reset_stamps[reset_stamps.size() - 2] = cycle + 1;
            if (next_reset >= resets.size()) total = epoch_frame + tail;
        }
        quiet = moved ? 0 : quiet + 1;
        if (latency == Never && moved && epoch_start != Never) {
            bool whole = true;
            for (const Sink& s : sinks) whole = whole && s.since_reset >= s.info.beats;
            if (whole) latency = cycle - epoch_start;
        }
        // Done: nothing more to send, and quiet for long after the last output (for very long if one is missing).
        const uint64_t usual = latency == Never ? stuck : std::max<uint64_t>(256, std::min(4 * latency, latency + 1024));
        if (quiet > 256 && next_reset >= resets.size() && sent(total)) {
            if (received() && quiet > std::min(usual, stuck)) break;
            if (quiet > 4 * std::max(usual, latency == Never ? 0 : 4 * latency)) { ended = Missing; break; }
        }
        if (quiet > stuck) { ended = NoProgress; break; }
        if (cycle % 256 == 0 && surplus()) { ended = TooMany; break; }
        report();
    }
    if (trace_open) dut->trace_close();
    if (recording && std::fclose(recording)) die("cannot write " + options["record"]);
}

void Bench::look_around() {  // who offers and who would take: each stream's valid (bit 0) and ready (bit 1)
    for (Source& s : sources) dut->in_valid(s.stream, s.offering);
    for (Sink& s : sinks) dut->out_ready(s.stream, true);
    dut->clock(false), dut->eval();
    for (Source& s : sources) state.push_back(s.offering + 2u * dut->in_ready(s.stream));
    for (Sink& s : sinks) state.push_back(dut->out_valid(s.stream) + 2u);
    for (unsigned i = 0; i < dut_links; i++) state.push_back(dut->link(i));
    for (unsigned i = 0; i < dut_marks; i++) state.push_back(dut->mark(i));
}

void Bench::save() const {
    std::FILE* file = std::fopen(options.at("out").c_str(), "wb");
    if (!file) die("cannot write " + options.at("out"));
    std::vector<uint64_t> head = {0x68776766, cycle, uint64_t(elapsed() * 1e6), violation, violation_cycle,
                                  violation_stream, ended, reset_stamps.size(), state.size()};
    for (const Source& s : sources) head.insert(head.end(), {s.stamps.size(), s.frame, s.beat});
    for (const Sink& s : sinks) head.push_back(s.stamps.size());
    for (const Tap& t : taps) head.push_back(t.stamps.size());
    bool good = true;
    auto put = [&](const void* data, size_t size) { good = good && (!size || std::fwrite(data, size, 1, file) == 1); };
    for (const auto* part : std::vector<const std::vector<uint64_t>*>{&head, &reset_stamps, &state})
        put(part->data(), part->size() * 8);
    for (const Source& s : sources) put(s.stamps.data(), s.stamps.size() * 8);
    for (const Sink& s : sinks) put(s.stamps.data(), s.stamps.size() * 8), put(s.words.data(), s.words.size() * 4);
    for (const Tap& t : taps) put(t.stamps.data(), t.stamps.size() * 8), put(t.words.data(), t.words.size() * 4);
    if (std::fclose(file) || !good) die("cannot write " + options.at("out"));
}

}  // namespace

int main(int argc, char** argv) {
    Bench bench;
    for (int i = 1; i + 1 < argc; i += 2) bench.options[std::string(argv[i]).substr(2)] = argv[i + 1];
    if (!bench.options.count("in") || !bench.options.count("out")) die("usage: --in FILE --out FILE [--key value ...]");
    bench.dut.reset(make_dut(argc, argv, bench.number("init-seed", 1)));
    bench.set_up();
    bench.power_up();
    bench.run();
    bench.look_around();
    bench.dut->final();
    bench.save();
    return 0;
}
