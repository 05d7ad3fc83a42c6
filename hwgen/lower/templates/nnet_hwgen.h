#ifndef NNET_HWGEN_H_
#define NNET_HWGEN_H_

// Layers that hwgen adds to hls4ml, each exact: what it computes is stated in docs/numerics.md.

#include "nnet_common.h"

namespace nnet {
namespace hwgen {

// The bits of a fixed-point value, read as an integer.
template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> ap_int<W> raw(const ap_fixed<W, I, Q, O, N> &x) {
    #pragma HLS INLINE
    ap_int<W> bits;
    bits.range(W - 1, 0) = x.range(W - 1, 0);
    return bits;
}
template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> ap_uint<W> raw(const ap_ufixed<W, I, Q, O, N> &x) {
    #pragma HLS INLINE
    ap_uint<W> bits;
    bits.range(W - 1, 0) = x.range(W - 1, 0);
    return bits;
}

// y = clamp(x rounded to round_T, low, high), bounds on the integers of y.
template <class data_T, class round_T, class res_T, typename CONFIG_T>
void requantize(data_T data[CONFIG_T::n], res_T res[CONFIG_T::n]) {
    #pragma HLS PIPELINE
    for (unsigned i = 0; i < CONFIG_T::n; i++) {
        #pragma HLS UNROLL
        round_T rounded = data[i];
        ap_int<round_T::width + 1> bits = raw(rounded);
        if (bits < CONFIG_T::low)
            bits = CONFIG_T::low;
        if (bits > CONFIG_T::high)
            bits = CONFIG_T::high;
        res[i].range(res_T::width - 1, 0) = bits.range(res_T::width - 1, 0);
    }
}

// y = table[x - first], x and first as integers of x's type.
template <class data_T, class res_T, typename CONFIG_T>
void lookup(data_T data[CONFIG_T::n], res_T res[CONFIG_T::n], typename CONFIG_T::table_t table[CONFIG_T::n_table]) {
    #pragma HLS PIPELINE
    for (unsigned i = 0; i < CONFIG_T::n; i++) {
        #pragma HLS UNROLL
        res[i] = table[(unsigned)(raw(data[i]).to_int64() - CONFIG_T::first)];
    }
}

// y[r][j] = sum_i x[r][i] * w[i][j] + b[j] for every row r.
template <class data_T, class res_T, typename CONFIG_T>
void dense(data_T data[CONFIG_T::n_rows * CONFIG_T::n_in], res_T res[CONFIG_T::n_rows * CONFIG_T::n_out],
           typename CONFIG_T::weight_t weight[CONFIG_T::n_in * CONFIG_T::n_out],
           typename CONFIG_T::bias_t bias[CONFIG_T::n_out]) {
    #pragma HLS PIPELINE
    for (unsigned r = 0; r < CONFIG_T::n_rows; r++) {
        for (unsigned j = 0; j < CONFIG_T::n_out; j++) {
            typename CONFIG_T::accum_t sum = bias[j];
            for (unsigned i = 0; i < CONFIG_T::n_in; i++) {
                #pragma HLS UNROLL
                sum += data[r * CONFIG_T::n_in + i] * weight[i * CONFIG_T::n_out + j];
            }
            res[r * CONFIG_T::n_out + j] = sum;
        }
    }
}

// y[r] = max_i x[r][i]
template <class data_T, class res_T, typename CONFIG_T>
void reduce_max(data_T data[CONFIG_T::n_rows * CONFIG_T::n_in], res_T res[CONFIG_T::n_rows]) {
    #pragma HLS PIPELINE
    for (unsigned r = 0; r < CONFIG_T::n_rows; r++) {
        data_T top = data[r * CONFIG_T::n_in];
        for (unsigned i = 1; i < CONFIG_T::n_in; i++) {
            #pragma HLS UNROLL
            if (data[r * CONFIG_T::n_in + i] > top)
                top = data[r * CONFIG_T::n_in + i];
        }
        res[r] = top;
    }
}

// y[r] = the lowest i with x[r][i] = max
template <class data_T, class res_T, typename CONFIG_T>
void argmax(data_T data[CONFIG_T::n_rows * CONFIG_T::n_in], res_T res[CONFIG_T::n_rows]) {
    #pragma HLS PIPELINE
    for (unsigned r = 0; r < CONFIG_T::n_rows; r++) {
        data_T top = data[r * CONFIG_T::n_in];
        unsigned index = 0;
        for (unsigned i = 1; i < CONFIG_T::n_in; i++) {
            #pragma HLS UNROLL
            if (data[r * CONFIG_T::n_in + i] > top) {
                top = data[r * CONFIG_T::n_in + i];
                index = i;
            }
        }
        res[r] = index;
    }
}

// Element-wise with operands broadcast: CONFIG_T::at(i, k) is where element i of the result is in operand k.
#define HWGEN_BROADCAST(NAME, EXPRESSION)                                                                              \
    template <class a_T, class b_T, class res_T, typename CONFIG_T> void NAME(a_T *x, b_T *y, res_T *res) {              \
        for (unsigned i = 0; i < CONFIG_T::n; i++) {                                                                   \
            const a_T a = x[CONFIG_T::at(i, 0)];                                                                       \
            const b_T b = y[CONFIG_T::at(i, 1)];                                                                       \
            res[i] = EXPRESSION;                                                                                       \
        }                                                                                                              \
    }

HWGEN_BROADCAST(broadcast_add, a + b)
HWGEN_BROADCAST(broadcast_subtract, a - b)
HWGEN_BROADCAST(broadcast_multiply, a *b)
HWGEN_BROADCAST(broadcast_maximum, (a > b) ? (res_T)a : (res_T)b)
HWGEN_BROADCAST(broadcast_minimum, (a < b) ? (res_T)a : (res_T)b)

#undef HWGEN_BROADCAST

} // namespace hwgen
} // namespace nnet

#endif
