/* What the window sees at one position, channel by channel; the zero point where it sees padding. */
static NAME_APART void NAME_patch_KIND(const NUMBER *input, NUMBER *patch, const NAME_window *w, int32_t place) {
    const int32_t y = place / w->out_width * w->down - w->top, x = place % w->out_width * w->across - w->left;
    const NAME_taps ys = NAME_inside(y, w->row_apart, w->rows, w->height);
    const NAME_taps xs = NAME_inside(x, w->column_apart, w->columns, w->width);
    const int32_t size = w->rows * w->columns, stride = w->row_apart * w->row, apart = w->column_apart * w->pixel;
    const int32_t plane = w->plane;
    if (size == 1 && xs.last - xs.first == 1 && ys.last - ys.first == 1) {
        const NUMBER *from = input + y * w->row + x * w->pixel;
        for (int32_t c = w->channels; c > 0; --c, from += plane) {
            *patch++ = *from;
        }
        return;
    }
    if (ys.first > 0 || xs.first > 0 || ys.last < w->rows || xs.last < w->columns) {
        for (int32_t i = 0; i < w->channels * size; ++i) {
            patch[i] = (NUMBER)w->in_zero;
        }
    }
    const int32_t begin = y * w->row + ys.first * stride + x * w->pixel;
    const int32_t whole = w->columns == 3 && xs.first == 0 && xs.last == 3;
    for (int32_t c = 0; c < w->channels; ++c, patch += size) {
        int32_t at = c * plane + begin;
        NUMBER *to = patch + ys.first * w->columns;
        for (int32_t ky = ys.first; ky < ys.last; ++ky, at += stride, to += w->columns) {
            const NUMBER *from = input + at;
            if (whole) {
                to[0] = from[0];
                to[1] = from[apart];
                to[2] = from[2 * apart];
            } else {
                for (int32_t kx = xs.first; kx < xs.last; ++kx) {
                    to[kx] = from[kx * apart];
                }
            }
        }
    }
}

