/* output = input * weights + biases, a window for each channel. `plane` takes a channel with its padding, so that the
 * output may be where the input is. */
static NAME_APART void NAME_depthwise_float(const float *input, float *output, float *plane, const float *weights,
                                 const float *biases, const NAME_window *w) {
    const int32_t down = (w->out_height - 1) * w->down + (w->rows - 1) * w->row_apart + 1;
    const int32_t across = (w->out_width - 1) * w->across + (w->columns - 1) * w->column_apart + 1;
    const int32_t apart = w->column_apart, stride = across * w->row_apart;
    for (int32_t c = 0; c < w->images * w->channels; ++c, input += w->height * w->width) {
        const float *weight = weights + c % w->channels * w->rows * w->columns;
        const float bias = biases ? biases[c % w->channels] : 0.0f;
        NAME_plane_float(input, plane, w, down, across);
        for (int32_t row = 0; row < w->out_height; ++row) {
            for (int32_t column = 0; column < w->out_width; ++column) {
                const float *tap = weight, *x = plane + row * w->down * across + column * w->across;
                float sum = bias;
                for (int32_t ky = w->rows; ky > 0; --ky, x += stride) {
                    const float *at = x;
                    for (int32_t kx = w->columns; kx > 0; --kx, at += apart) {
                        sum += *at * *tap++;
                    }
                }
                *output++ = sum;
            }
        }
    }
}
