/* A convolution: channels, rows and columns of the input and of the output, and a window that steps over the input. */
typedef struct {
    int32_t images, channels, height, width, out_channels, out_height, out_width;
    int32_t rows, columns;         /* of the window */
    int32_t down, across;          /* its steps */
    int32_t top, left;             /* padding */
    int32_t row_apart, column_apart; /* dilation */
    int32_t in_zero, zero;
    int32_t plane, row, pixel; /* how far channels, rows and pixels of the input are apart */
} NAME_window;

typedef struct {
    int32_t first, last; /* the taps from `first` on and before `last` are inside */
} NAME_taps;

/* Which of `count` taps that begin at `begin` and are `apart` lie in 0 to size. */
NAME_SPARE static NAME_taps NAME_inside(int32_t begin, int32_t apart, int32_t count, int32_t size) {
    NAME_taps taps = {0, count};
    while (taps.first < count && begin + taps.first * apart < 0) {
        ++taps.first;
    }
    while (taps.last > taps.first && begin + (taps.last - 1) * apart >= size) {
        --taps.last;
    }
    return taps;
}
