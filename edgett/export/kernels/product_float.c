/* output = input x weights + bias. */
static NAME_APART void NAME_product_float(const float *input, float *output, const float *weights, const float *bias,
                                          const NAME_product *product) {
    const int32_t inner = product->inner, columns = product->columns / 4 * 4;
    int32_t left = product->row_run, place = 0;
    for (int32_t row = 0; row < product->rows; ++row, input += inner) {
        NAME_float_task task = {input, weights, bias, output + place, 4 * product->step, product->run, product->run,
                                4 * product->jump, columns, inner / 4, inner % 4, product->columns - columns};
        NAME_float_row(&task);
        place += product->row_step;
        if (--left == 0) {
            place += product->row_jump;
            left = product->row_run;
        }
    }
}
