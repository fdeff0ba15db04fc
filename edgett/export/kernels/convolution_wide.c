/* The same of weights that do not go into words by twos: a byte each, the channels that are made one after the other. */
static void NAME_convolution_wide(const int8_t *input, int8_t *output, int8_t *scratch, const int8_t *weights,
                                  const int32_t *starts, const float *scales, const NAME_window *w) {
    const int32_t inner = w->channels * w->rows * w->columns, places = w->out_height * w->out_width;
    for (int32_t image = 0; image < w->images; ++image) {
        NAME_made_int8 made = NAME_into_int8(input, output, scratch, w);
        int8_t *const patch = scratch + NAME_kept_int8(&made, w);
        for (int32_t place = 0; place < places; ++place) {
            const int8_t *weight = weights;
            NAME_settle_int8(&made, w, place);
            int8_t *to = NAME_at_int8(&made, w, place);
            NAME_patch_int8(input, patch, w, place);
            for (int32_t channel = 0; channel < w->out_channels; ++channel, weight += inner, to += made.rows * w->out_width) {
                int32_t sum = starts[channel];
                for (int32_t i = 0; i < inner; ++i) {
                    sum += (int32_t)patch[i] * weight[i];
                }
                *to = NAME_scaled(sum, scales[channel], w->zero);
            }
        }
        NAME_settle_int8(&made, w, places);
        input += w->channels * w->height * w->width;
        output += w->out_channels * places;
    }
}
