// Replays recorded ports on a netlist of gates: every net, every cycle, without delays.
//
// Registers start with random values. Outputs must be the recorded ones in every cycle after the reset (data only while
// its valid is high). In the window, what toggles and how often each net is 1 is counted, from one cycle's settled
// values to the next one's.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr uint32_t Always = ~0u;

struct Gate {  // a truth table over at most six nets; of a register, its next state
    uint32_t out, inputs, low, high, in[6];
};

struct Output {
    uint32_t net, valid;
};

struct Head {
    uint32_t nets, gates, flops, inputs, outputs, cycles, first, count, reset_cycles, seed;
};

template <class T> std::vector<T> take(std::FILE* file, size_t count) {
    std::vector<T> items(count);
    if (std::fread(items.data(), sizeof(T), count, file) != count) std::fprintf(stderr, "gates: cut short\n"), std::exit(2);
    return items;
}

inline uint8_t look_up(const Gate& gate, const uint8_t* value) {
    unsigned index = 0;
    for (unsigned k = 0; k < gate.inputs; k++) index |= unsigned(value[gate.in[k]]) << k;
    return ((index & 32 ? gate.high : gate.low) >> (index & 31)) & 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return std::fprintf(stderr, "usage: gates IN OUT\n"), 2;
    std::FILE* file = std::fopen(argv[1], "rb");
    if (!file) return std::fprintf(stderr, "gates: cannot read %s\n", argv[1]), 2;
    const Head head = take<Head>(file, 1)[0];
    const auto gates = take<Gate>(file, head.gates), flops = take<Gate>(file, head.flops);
    const auto inputs = take<uint32_t>(file, head.inputs);
    const auto outputs = take<Output>(file, head.outputs);
    const size_t width = head.inputs + head.outputs;
    const auto rows = take<uint8_t>(file, width * head.cycles);
    std::fclose(file);

    std::vector<uint8_t> value(head.nets), before(head.nets), next(head.flops);
    value[1] = 1;  // nets 0 and 1 are the constants
    uint64_t state = head.seed * 2ull + 1;
    for (const Gate& flop : flops) {
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        value[flop.out] = (state * 2685821657736338717ULL) >> 63;
    }
    std::vector<uint32_t> toggles(head.nets), ones(head.nets);
    uint64_t wrong = 0, first_wrong = ~0ull;
    for (int64_t cycle = -int64_t(head.reset_cycles); cycle < int64_t(head.cycles); cycle++) {
        const uint8_t* row = cycle < 0 ? nullptr : &rows[size_t(cycle) * width];
        for (uint32_t k = 0; k < head.inputs; k++) value[inputs[k]] = row ? row[k] : k == 0;  // input 0 is the reset
        for (const Gate& gate : gates) value[gate.out] = look_up(gate, value.data());
        if (row) {
            for (uint32_t k = 0; k < head.outputs; k++) {
                const Output& output = outputs[k];
                if (output.valid != Always && !value[output.valid]) continue;
                if (value[output.net] == row[head.inputs + k]) continue;
                if (!wrong++) first_wrong = uint64_t(cycle);
            }
        }
        if (cycle >= int64_t(head.first) && cycle < int64_t(head.first) + int64_t(head.count)) {
            for (uint32_t net = 0; net < head.nets; net++) {
                toggles[net] += value[net] ^ before[net];
                ones[net] += value[net];
            }
        }
        before = value;
        for (uint32_t k = 0; k < head.flops; k++) next[k] = look_up(flops[k], value.data());
        for (uint32_t k = 0; k < head.flops; k++) value[flops[k].out] = next[k];
    }
    file = std::fopen(argv[2], "wb");
    if (!file) return std::fprintf(stderr, "gates: cannot write %s\n", argv[2]), 2;
    const uint64_t found[2] = {wrong, first_wrong};
    bool good = std::fwrite(found, sizeof found, 1, file) == 1;
    good = good && std::fwrite(toggles.data(), 4, head.nets, file) == head.nets;
    good = good && std::fwrite(ones.data(), 4, head.nets, file) == head.nets;
    return std::fclose(file) == 0 && good ? 0 : 2;
}
