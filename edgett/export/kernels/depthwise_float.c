/* output = input * weights + biases, a window for each channel. `plane` takes a channel with its padding, so that the
 * output may be where the input is. */
static NAME_APART void NAME_depthwise_float(const float *input, float *output, float *plane, const float *weights,
                                            const float *biases, const NAME_window *w) {
    const int32_t down = (w->out_height - 1) * w->down + (w->rows - 1) * w->row_apart + 1;
    const int32_t across = (w->out_width - 1) * w->across + (w->columns - 1) * w->column_apart + 1;
    const int32_t rows = w->rows, columns = w->columns, width = w->out_width, step = w->across;
    const int32_t apart = w->column_apart, stride = across * w->row_apart;
    for (int32_t c = 0; c < w->images * w->channels; ++c, input += w->height * w->width) {
        const float *weight = weights + c % w->channels * rows * columns;
        const float bias = biases ? biases[c % w->channels] : 0.0f;
        NAME_plane_float(input, plane, w, down, across);
        for (int32_t row = 0; row < w->out_height; ++row) {
            for (int32_t column = 0; column < width; ++column) {
                const float *tap = weight, *x = plane + row * w->down * across + column * step;
                float sum = bias;
                for (int32_t ky = rows; ky > 0; --ky, x += stride) {
                    const float *at = x;
                    if (columns == 3) {
                        sum += x[0] * tap[0] + x[apart] * tap[1] + x[2 * apart] * tap[2];
                        tap += 3;
                        continue;
                    }
                    for (int32_t kx = columns; kx > 0; --kx, at += apart) {
                        sum += *at * *tap++;
                    }
                }
                *output++ = sum;
            }
        }
    }
}
