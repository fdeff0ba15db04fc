/* The largest number that the window sees in each channel. */
NAME_INSIDE void NAME_maxima_KIND(const NUMBER *input, NUMBER *output, const NAME_window *w) {
    NAME_pooled_KIND(input, output, 0, 0, 1.0f, w);
}
