#include <string.h>

/* Where a convolution puts its numbers. One that writes over what it reads keeps them in `rows` rows of each channel,
 * in turns, until no window sees any more what they are written over. */
typedef struct {
    NUMBER *at, *output;
    int32_t rows, done; /* `done` rows are in their places */
} NAME_made_KIND;

/* `kept` is room for what is kept. */
static NAME_made_KIND NAME_into_KIND(const NUMBER *input, NUMBER *output, NUMBER *kept, const NAME_window *w) {
    const int32_t late = input == output && w->rows * w->columns > 1;
    const NAME_made_KIND made = {late ? kept : output, output, late ? w->top + 2 : w->out_height, 0};
    return made;
}

/* How many numbers it keeps: a multiple of four. */
static int32_t NAME_kept_KIND(const NAME_made_KIND *made, const NAME_window *w) {
    return made->at == made->output ? 0 : (made->rows * w->out_width * w->out_channels + 3) / 4 * 4;
}

/* Where the first channel's number of a place goes. */
static NAME_APART NUMBER *NAME_at_KIND(const NAME_made_KIND *made, const NAME_window *w, int32_t place) {
    const int32_t row = place / w->out_width;
    return made->at + place - row / made->rows * made->rows * w->out_width;
}

/* All places before `place` are computed. */
static NAME_APART void NAME_settle_KIND(NAME_made_KIND *made, const NAME_window *w, int32_t place) {
    const int32_t width = w->out_width, places = w->out_height * width;
    if (made->at == made->output) {
        return;
    }
    for (; made->done < w->out_height && (place == places || place >= (made->done + w->top + 1) * width); ++made->done) {
        const NUMBER *from = made->at + made->done % made->rows * width;
        NUMBER *to = made->output + made->done * width;
        for (int32_t c = w->out_channels; c > 0; --c, from += made->rows * width, to += places) {
            memcpy(to, from, (size_t)width * sizeof *to);
        }
    }
}
