/* A convolution whose weights are rebuilt in `scratch` first; behind them is the scratch of any other. */
static NAME_APART void NAME_convolution_rebuilt(const int8_t *input, int8_t *output, int8_t *scratch, const int8_t *factors,
                                                const int32_t *plan, const uint32_t *roundings, const int32_t *starts,
                                                const float *scales, const NAME_window *w) {
    int8_t *const weights = scratch + plan[2], *const behind = weights + plan[1] * w->out_channels;
    NAME_rebuild(weights, (int16_t *)(void *)scratch, factors, plan, roundings);
    NAME_convolution_wide(input, output, behind, weights, starts, scales, w);
}
