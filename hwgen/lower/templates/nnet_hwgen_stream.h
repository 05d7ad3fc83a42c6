#ifndef NNET_HWGEN_STREAM_H_
#define NNET_HWGEN_STREAM_H_

// The layers of nnet_hwgen.h on streams: an item holds all elements of the last axis at one place.

#include "hls_stream.h"
#include "nnet_common.h"
#include "nnet_hwgen.h"

namespace nnet {
namespace hwgen {
namespace stream {

template <unsigned N, class data_T> void read_all(hls::stream<data_T> &data, typename data_T::value_type *x) {
    for (unsigned i = 0; i < N / data_T::size; i++) {
        #pragma HLS PIPELINE
        const data_T item = data.read();
        for (unsigned j = 0; j < data_T::size; j++)
            x[i * data_T::size + j] = item[j];
    }
}

template <unsigned N, class res_T> void write_all(const typename res_T::value_type *y, hls::stream<res_T> &res) {
    for (unsigned i = 0; i < N / res_T::size; i++) {
        #pragma HLS PIPELINE
        res_T item;
        for (unsigned j = 0; j < res_T::size; j++)
            item[j] = y[i * res_T::size + j];
        res.write(item);
    }
}

template <class data_T, class round_T, class res_T, typename CONFIG_T>
void requantize(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    for (unsigned i = 0; i < CONFIG_T::n / data_T::size; i++) {
        #pragma HLS PIPELINE
        const data_T x = data.read();
        res_T y;
        for (unsigned j = 0; j < data_T::size; j++) {
            #pragma HLS UNROLL
            round_T rounded = x[j];
            y[j] = clamped<typename res_T::value_type, CONFIG_T>(rounded);
        }
        res.write(y);
    }
}

template <class data_T, class near_T, class round_T, class res_T, typename CONFIG_T>
void divide(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    for (unsigned i = 0; i < CONFIG_T::n / data_T::size; i++) {
        #pragma HLS PIPELINE
        const data_T x = data.read();
        res_T y;
        for (unsigned j = 0; j < data_T::size; j++) {
            #pragma HLS UNROLL
            y[j] = quotient<near_T, round_T, typename res_T::value_type, CONFIG_T>(x[j], i * data_T::size + j);
        }
        res.write(y);
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void lookup(hls::stream<data_T> &data, hls::stream<res_T> &res, typename CONFIG_T::table_t table[CONFIG_T::n_table]) {
    for (unsigned i = 0; i < CONFIG_T::n / data_T::size; i++) {
        #pragma HLS PIPELINE
        const data_T x = data.read();
        res_T y;
        for (unsigned j = 0; j < data_T::size; j++) {
            #pragma HLS UNROLL
            y[j] = table[(unsigned)(raw(x[j]).to_int64() - CONFIG_T::first)];
        }
        res.write(y);
    }
}

// A layer that needs a whole row, or the whole tensor: read it, compute as in nnet_hwgen.h, write the result.
#define HWGEN_WHOLE(NAME, N_IN, N_OUT)                                                                                 \
    template <class data_T, class res_T, typename CONFIG_T>                                                            \
    void NAME(hls::stream<data_T> &data, hls::stream<res_T> &res) {                                                     \
        typename data_T::value_type x[N_IN];                                                                           \
        typename res_T::value_type y[N_OUT];                                                                           \
        read_all<N_IN>(data, x);                                                                                       \
        hwgen::NAME<typename data_T::value_type, typename res_T::value_type, CONFIG_T>(x, y);                           \
        write_all<N_OUT>(y, res);                                                                                      \
    }

HWGEN_WHOLE(reduce_max, CONFIG_T::n_rows *CONFIG_T::n_in, CONFIG_T::n_rows)
HWGEN_WHOLE(argmax, CONFIG_T::n_rows *CONFIG_T::n_in, CONFIG_T::n_rows)

#undef HWGEN_WHOLE

template <class data_T, class res_T, typename CONFIG_T>
void dense(hls::stream<data_T> &data, hls::stream<res_T> &res,
           typename CONFIG_T::weight_t weight[CONFIG_T::n_in * CONFIG_T::n_out],
           typename CONFIG_T::bias_t bias[CONFIG_T::n_out]) {
    for (unsigned r = 0; r < CONFIG_T::n_rows; r++) {
        const data_T x = data.read();
        res_T y;
        for (unsigned j = 0; j < CONFIG_T::n_out; j++) {
            typename CONFIG_T::accum_t sum = bias[j];
            for (unsigned i = 0; i < CONFIG_T::n_in; i++) {
                #pragma HLS UNROLL
                sum += x[i] * weight[i * CONFIG_T::n_out + j];
            }
            y[j] = sum;
        }
        res.write(y);
    }
}

#define HWGEN_BROADCAST(NAME)                                                                                          \
    template <class a_T, class b_T, class res_T, typename CONFIG_T>                                                    \
    void NAME(hls::stream<a_T> &x, hls::stream<b_T> &y, hls::stream<res_T> &res) {                                      \
        typename a_T::value_type a[CONFIG_T::n_a];                                                                     \
        typename b_T::value_type b[CONFIG_T::n_b];                                                                     \
        typename res_T::value_type z[CONFIG_T::n];                                                                     \
        read_all<CONFIG_T::n_a>(x, a);                                                                                 \
        read_all<CONFIG_T::n_b>(y, b);                                                                                 \
        hwgen::NAME<typename a_T::value_type, typename b_T::value_type, typename res_T::value_type, CONFIG_T>(a, b, z); \
        write_all<CONFIG_T::n>(z, res);                                                                                \
    }

HWGEN_BROADCAST(broadcast_add)
HWGEN_BROADCAST(broadcast_subtract)
HWGEN_BROADCAST(broadcast_multiply)
HWGEN_BROADCAST(broadcast_maximum)
HWGEN_BROADCAST(broadcast_minimum)

#undef HWGEN_BROADCAST

// The same elements in items of another size.
template <class data_T, class res_T, typename CONFIG_T> void repack(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    data_T x;
    res_T y;
    unsigned in = data_T::size, out = 0;
    for (unsigned i = 0; i < CONFIG_T::n; i++) {
        if (in == data_T::size) {
            x = data.read();
            in = 0;
        }
        y[out++] = x[in++];
        if (out == res_T::size) {
            res.write(y);
            out = 0;
        }
    }
}

// Items of two streams next to each other.
template <class a_T, class b_T, class res_T, typename CONFIG_T>
void join(hls::stream<a_T> &x, hls::stream<b_T> &y, hls::stream<res_T> &res) {
    for (unsigned i = 0; i < CONFIG_T::n_rows; i++) {
        #pragma HLS PIPELINE
        const a_T a = x.read();
        const b_T b = y.read();
        res_T z;
        for (unsigned j = 0; j < a_T::size; j++)
            z[j] = a[j];
        for (unsigned j = 0; j < b_T::size; j++)
            z[a_T::size + j] = b[j];
        res.write(z);
    }
}

// Slide a window over a picture that comes pixel by pixel: the rows that a window needs are kept.
template <class KIND, class data_T, class res_T, typename CONFIG_T, class weight_T, class bias_T>
void slide(hls::stream<data_T> &data, hls::stream<res_T> &res, const weight_T *weight, const bias_T *bias) {
    typedef typename data_T::value_type element_T;
    element_T rows[CONFIG_T::filt_height][CONFIG_T::in_width * CONFIG_T::n_chan];
    element_T window[CONFIG_T::n_taps * CONFIG_T::n_chan];
    bool inside[CONFIG_T::n_taps];
    int next = 0;
    for (int oy = 0; oy < CONFIG_T::out_height; oy++) {
        const int top = oy * CONFIG_T::stride_height - CONFIG_T::pad_top;
        for (; next < CONFIG_T::in_height && next < top + CONFIG_T::filt_height; next++) {
            for (int ix = 0; ix < CONFIG_T::in_width; ix++) {
                const data_T x = data.read();
                for (int c = 0; c < CONFIG_T::n_chan; c++)
                    rows[next % CONFIG_T::filt_height][ix * CONFIG_T::n_chan + c] = x[c];
            }
        }
        for (int ox = 0; ox < CONFIG_T::out_width; ox++) {
            #pragma HLS PIPELINE II=CONFIG_T::reuse_factor
            for (int k = 0; k < CONFIG_T::n_taps; k++) {
                const int iy = top + k / CONFIG_T::filt_width;
                const int ix = ox * CONFIG_T::stride_width - CONFIG_T::pad_left + k % CONFIG_T::filt_width;
                inside[k] = iy >= 0 && iy < CONFIG_T::in_height && ix >= 0 && ix < CONFIG_T::in_width;
                for (int c = 0; c < CONFIG_T::n_chan; c++) {
                    element_T x = 0;
                    if (inside[k])
                        x = rows[iy % CONFIG_T::filt_height][ix * CONFIG_T::n_chan + c];
                    window[k * CONFIG_T::n_chan + c] = x;
                }
            }
            res_T y;
            KIND::template at<CONFIG_T>(window, inside, y.data, weight, bias);
            res.write(y);
        }
    }
    for (; next < CONFIG_T::in_height; next++)
        for (int ix = 0; ix < CONFIG_T::in_width; ix++)
            data.read();
}

#define HWGEN_WEIGHTED(NAME, KIND)                                                                                     \
    template <class data_T, class res_T, typename CONFIG_T>                                                            \
    void NAME(hls::stream<data_T> &data, hls::stream<res_T> &res, typename CONFIG_T::weight_t *weight,                  \
              typename CONFIG_T::bias_t *bias) {                                                                       \
        slide<KIND, data_T, res_T, CONFIG_T>(data, res, weight, bias);                                                 \
    }
#define HWGEN_POOL(NAME, KIND)                                                                                         \
    template <class data_T, class res_T, typename CONFIG_T>                                                            \
    void NAME(hls::stream<data_T> &data, hls::stream<res_T> &res) {                                                     \
        slide<KIND, data_T, res_T, CONFIG_T>(data, res, (const char *)0, (const char *)0);                             \
    }

HWGEN_WEIGHTED(convolution, Convolution)
HWGEN_WEIGHTED(depthwise, Depthwise)
HWGEN_POOL(window_maximum, Maximum)
HWGEN_POOL(window_sum, Sum)

#undef HWGEN_WEIGHTED
#undef HWGEN_POOL

} // namespace stream
} // namespace hwgen
} // namespace nnet

#endif
