/* A product whose weights are rebuilt in `scratch` first. */
static NAME_APART void NAME_product_rebuilt(const int8_t *input, int8_t *output, int8_t *scratch, const int8_t *factors,
                                            const int32_t *plan, const uint32_t *roundings, const int32_t *starts,
                                            const float *scales, const NAME_product *product) {
    int8_t *const weights = scratch + plan[2];
    NAME_rebuild(weights, (int16_t *)(void *)scratch, factors, plan, roundings);
    NAME_product_wide(input, output, weights, starts, scales, product);
}
