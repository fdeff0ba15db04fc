/* The same of weights that do not go into words by twos: a byte each, the columns one after the other. */
static void NAME_product_wide(const int8_t *input, int8_t *output, const int8_t *weights, const int32_t *starts,
                              const float *scales, const NAME_product *product) {
    const int32_t inner = product->inner;
    int32_t down = product->row_run, first = 0;
    for (int32_t row = 0; row < product->rows; ++row, input += inner) {
        const int8_t *weight = weights;
        int32_t left = product->run, place = first;
        for (int32_t column = 0; column < product->columns; ++column, weight += inner) {
            int32_t sum = starts[column];
            for (int32_t i = 0; i < inner; ++i) {
                sum += (int32_t)input[i] * weight[i];
            }
            output[place] = NAME_scaled(sum, scales[column], product->zero);
            place += product->step;
            if (--left == 0) {
                place += product->jump;
                left = product->run;
            }
        }
        first += product->row_step;
        if (--down == 0) {
            first += product->row_jump;
            down = product->row_run;
        }
    }
}
