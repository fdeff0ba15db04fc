/* output = input * weights + bias: a product for each position. `scratch` takes what is kept where the output is the
 * input, and what the window sees. */
static NAME_APART void NAME_convolution_float(const float *input, float *output, float *scratch, const float *weights,
                                              const float *bias, const NAME_window *w) {
    const int32_t inner = w->channels * w->rows * w->columns, places = w->out_height * w->out_width;
    const int32_t columns = w->out_channels / 4 * 4;
    for (int32_t image = 0; image < w->images; ++image) {
        NAME_made_float made = NAME_into_float(input, output, scratch, w);
        float *const patch = scratch + NAME_kept_float(&made, w);
        const int32_t apart = 4 * made.rows * w->out_width;
        for (int32_t place = 0; place < places; ++place) {
            NAME_settle_float(&made, w, place);
            NAME_float_task task = {patch, weights, bias, NAME_at_float(&made, w, place), apart, w->out_channels,
                                    w->out_channels, 0, columns, inner / 4, inner % 4,
                                    w->out_channels - columns};
            NAME_patch_float(input, patch, w, place);
            NAME_float_row(&task);
        }
        NAME_settle_float(&made, w, places);
        input += w->channels * w->height * w->width;
        output += w->out_channels * places;
    }
}
