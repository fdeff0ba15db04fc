/* The mean of what the window sees in each channel. */
NAME_INSIDE void NAME_averages_KIND(const NUMBER *input, NUMBER *output, int32_t count, float scale,
                                    const NAME_window *w) {
    NAME_pooled_KIND(input, output, 1, count, scale, w);
}
