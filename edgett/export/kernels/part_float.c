/* Rows of output = input x weights + bias, from `row` on; `input` begins with that. */
static NAME_APART void NAME_part_float(const float *input, float *output, const float *weights, const float *bias,
                                       const NAME_product *product, int32_t row, int32_t count) {
    const int32_t inner = product->inner, columns = product->columns / 4 * 4;
    int32_t left = product->row_run - row % product->row_run;
    int32_t place = row * product->row_step + row / product->row_run * product->row_jump;
    for (; count > 0; --count, input += inner) {
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
