#include <float.h>

/* The largest number that a window sees in each channel, the least there is where it lies beside the image; or the mean
 * of `count` numbers, 0: of as many as are inside. */
NAME_INSIDE void NAME_pooled_KIND(const NUMBER *input, NUMBER *output, int32_t mean, int32_t count, float scale,
                                  const NAME_window *w) {
    const int32_t stride = w->row_apart * w->width, apart = w->column_apart;
    const int32_t whole = w->width - (w->columns - 1) * apart; /* so far no column of a window is beside the image */
    const NAME_taps all = {0, w->columns};
    for (int32_t c = w->images * w->channels; c > 0; --c, input += w->height * w->width) {
        for (int32_t row = 0; row < w->out_height; ++row) {
            const int32_t y = row * w->down - w->top;
            const NAME_taps ys = NAME_inside(y, w->row_apart, w->rows, w->height);
            const int32_t line = y * w->width + ys.first * stride;
            for (int32_t column = 0, x = -w->left; column < w->out_width; ++column, x += w->across) {
                const NAME_taps xs = x >= 0 && x < whole ? all : NAME_inside(x, apart, w->columns, w->width);
                const NUMBER *from = input + (line + x + xs.first * apart);
                const int32_t seen = (ys.last - ys.first) * (xs.last - xs.first);
                NUMBER most = (NUMBER)(sizeof most == 1 ? -128.0f : -FLT_MAX);
                NAME_sum_KIND sum = 0;
                for (int32_t ky = ys.last - ys.first; ky > 0; --ky, from += stride) {
                    const NUMBER *at = from;
                    for (int32_t kx = xs.last - xs.first; kx > 0; --kx, at += apart) {
                        if (mean) {
                            sum += *at;
                        } else {
                            most = *at > most ? *at : most;
                        }
                    }
                }
                *output++ = mean ? NAME_mean_KIND(sum, seen, count > 0 ? count : seen, scale, w) : most;
            }
        }
    }
}
