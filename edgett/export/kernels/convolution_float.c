/* output = input * weights + bias: a product for each position. `patch` has room for what the window sees. */
static NAME_APART void NAME_convolution_float(const float *input, float *output, float *patch, const float *weights,
                                              const float *bias, const NAME_window *w) {
    const int32_t inner = w->channels * w->rows * w->columns, places = w->out_height * w->out_width;
    const int32_t columns = w->out_channels / 4 * 4;
    for (int32_t image = 0; image < w->images; ++image) {
        for (int32_t place = 0; place < places; ++place) {
            NAME_float_task task = {patch, weights, bias, output + place, 4 * places, w->out_channels,
                                    w->out_channels, 0, columns, inner / 4, inner % 4,
                                    w->out_channels - columns};
            NAME_patch_float(input, patch, w, place);
            NAME_float_row(&task);
        }
        input += w->channels * w->height * w->width;
        output += w->out_channels * places;
    }
}
