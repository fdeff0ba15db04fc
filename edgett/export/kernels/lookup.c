/* output[i] = table[input[i]], the table from -128 on. */
static void NAME_lookup(const int8_t *input, int8_t *output, const int8_t *table, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        output[i] = table[input[i] + 128];
    }
}
