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

// clamp(x, low, high), x and the bounds as integers.
template <class res_T, typename CONFIG_T, class round_T> res_T clamped(const round_T &x) {
    #pragma HLS INLINE
    ap_int<round_T::width + 1> bits = raw(x);
    if (bits < CONFIG_T::low)
        bits = CONFIG_T::low;
    if (bits > CONFIG_T::high)
        bits = CONFIG_T::high;
    res_T y;
    y.range(res_T::width - 1, 0) = bits.range(res_T::width - 1, 0);
    return y;
}

// y = clamp(x rounded to round_T, low, high), bounds on the integers of y.
template <class data_T, class round_T, class res_T, typename CONFIG_T>
void requantize(data_T data[CONFIG_T::n], res_T res[CONFIG_T::n]) {
    #pragma HLS PIPELINE
    for (unsigned i = 0; i < CONFIG_T::n; i++) {
        #pragma HLS UNROLL
        round_T rounded = data[i];
        res[i] = clamped<res_T, CONFIG_T>(rounded);
    }
}

// x / divisor, element i: a product by its reciprocal, rounded to near_T, which round_T rounds as the quotient itself.
template <class near_T, class round_T, class res_T, typename CONFIG_T, class data_T>
res_T quotient(const data_T &x, unsigned i) {
    #pragma HLS INLINE
    ap_int<data_T::width + 66> product = raw(x);
    product *= ap_int<65>(CONFIG_T::multiplier(i));
    product += ap_int<66>(1) << (CONFIG_T::shift - 1);
    product >>= CONFIG_T::shift;
    near_T near;
    near.range(near_T::width - 1, 0) = product.range(near_T::width - 1, 0);
    round_T rounded = near;
    return clamped<res_T, CONFIG_T>(rounded);
}

template <class data_T, class near_T, class round_T, class res_T, typename CONFIG_T>
void divide(data_T data[CONFIG_T::n], res_T res[CONFIG_T::n]) {
    #pragma HLS PIPELINE
    for (unsigned i = 0; i < CONFIG_T::n; i++) {
        #pragma HLS UNROLL
        res[i] = quotient<near_T, round_T, res_T, CONFIG_T>(data[i], i);
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

// What a window gives at one place: `window` holds its elements (ky, kx, channel), zero outside the picture, and
// `inside` says which taps lie in the picture.

struct Convolution {
    template <typename CONFIG_T, class data_T, class res_T, class weight_T, class bias_T>
    static void at(const data_T *window, const bool *inside, res_T *res, const weight_T *weight, const bias_T *bias) {
        for (unsigned o = 0; o < CONFIG_T::n_filt; o++) {
            typename CONFIG_T::accum_t sum = bias[o];
            for (unsigned k = 0; k < CONFIG_T::n_taps * CONFIG_T::n_chan; k++) {
                #pragma HLS UNROLL
                sum += window[k] * weight[k * CONFIG_T::n_filt + o];
            }
            res[o] = sum;
        }
    }
};

struct Depthwise {
    template <typename CONFIG_T, class data_T, class res_T, class weight_T, class bias_T>
    static void at(const data_T *window, const bool *inside, res_T *res, const weight_T *weight, const bias_T *bias) {
        const unsigned depth = CONFIG_T::n_filt / CONFIG_T::n_chan;
        for (unsigned o = 0; o < CONFIG_T::n_filt; o++) {
            typename CONFIG_T::accum_t sum = bias[o];
            for (unsigned k = 0; k < CONFIG_T::n_taps; k++) {
                #pragma HLS UNROLL
                sum += window[k * CONFIG_T::n_chan + o / depth] * weight[k * CONFIG_T::n_filt + o];
            }
            res[o] = sum;
        }
    }
};

struct Maximum {
    template <typename CONFIG_T, class data_T, class res_T, class weight_T, class bias_T>
    static void at(const data_T *window, const bool *inside, res_T *res, const weight_T *, const bias_T *) {
        for (unsigned c = 0; c < CONFIG_T::n_chan; c++) {
            data_T top = 0;
            bool seen = false;
            for (unsigned k = 0; k < CONFIG_T::n_taps; k++) {
                #pragma HLS UNROLL
                const data_T x = window[k * CONFIG_T::n_chan + c];
                if (inside[k] && (!seen || x > top)) {
                    top = x;
                    seen = true;
                }
            }
            res[c] = top;
        }
    }
};

struct Sum {
    template <typename CONFIG_T, class data_T, class res_T, class weight_T, class bias_T>
    static void at(const data_T *window, const bool *inside, res_T *res, const weight_T *, const bias_T *) {
        for (unsigned c = 0; c < CONFIG_T::n_chan; c++) {
            typename CONFIG_T::accum_t sum = 0;
            for (unsigned k = 0; k < CONFIG_T::n_taps; k++) {
                #pragma HLS UNROLL
                sum += window[k * CONFIG_T::n_chan + c];
            }
            res[c] = sum;
        }
    }
};

// Slide a window over a picture: KIND says what it gives.
template <class KIND, class data_T, class res_T, typename CONFIG_T, class weight_T, class bias_T>
void slide(data_T *data, res_T *res, const weight_T *weight, const bias_T *bias) {
    data_T window[CONFIG_T::n_taps * CONFIG_T::n_chan];
    bool inside[CONFIG_T::n_taps];
    for (int oy = 0; oy < CONFIG_T::out_height; oy++) {
        for (int ox = 0; ox < CONFIG_T::out_width; ox++) {
            for (int k = 0; k < CONFIG_T::n_taps; k++) {
                const int iy = oy * CONFIG_T::stride_height - CONFIG_T::pad_top + k / CONFIG_T::filt_width;
                const int ix = ox * CONFIG_T::stride_width - CONFIG_T::pad_left + k % CONFIG_T::filt_width;
                inside[k] = iy >= 0 && iy < CONFIG_T::in_height && ix >= 0 && ix < CONFIG_T::in_width;
                for (int c = 0; c < CONFIG_T::n_chan; c++)
                    window[k * CONFIG_T::n_chan + c] =
                        inside[k] ? data[(iy * CONFIG_T::in_width + ix) * CONFIG_T::n_chan + c] : data_T(0);
            }
            KIND::template at<CONFIG_T>(window, inside, res + (oy * CONFIG_T::out_width + ox) * CONFIG_T::n_filt, weight,
                                        bias);
        }
    }
}

#define HWGEN_WEIGHTED(NAME, KIND)                                                                                     \
    template <class data_T, class res_T, typename CONFIG_T>                                                            \
    void NAME(data_T *data, res_T *res, typename CONFIG_T::weight_t *weight, typename CONFIG_T::bias_t *bias) {         \
        slide<KIND, data_T, res_T, CONFIG_T>(data, res, weight, bias);                                                 \
    }
#define HWGEN_POOL(NAME, KIND)                                                                                         \
    template <class data_T, class res_T, typename CONFIG_T> void NAME(data_T *data, res_T *res) {                       \
        slide<KIND, data_T, res_T, CONFIG_T>(data, res, (const char *)0, (const char *)0);                             \
    }

HWGEN_WEIGHTED(convolution, Convolution)
HWGEN_WEIGHTED(depthwise, Depthwise)
HWGEN_POOL(window_maximum, Maximum)
HWGEN_POOL(window_sum, Sum)

#undef HWGEN_WEIGHTED
#undef HWGEN_POOL

} // namespace hwgen
} // namespace nnet

#endif
