/* output = input x weights; where there is room for 4 x inner bytes, two rows at a time. */
static NAME_APART void NAME_product_int8(const int8_t *input, int8_t *output, int8_t *tile, int32_t room,
                                         const uint32_t *weights, const int32_t *starts, const float *scales,
                                         const NAME_product *product) {
    const int32_t inner = product->inner;
    int32_t left = product->row_run, place = 0;
    for (int32_t row = 0, two; row < product->rows; row += 1 + two, input += (1 + two) * inner) {
        NAME_task task = {input, weights, starts, scales, output + place, 0, product->step, product->run,
                          product->zero, product->run, product->jump, product->columns, inner / 4, inner % 4};
        two = NAME_DSP && room != 0 && row + 1 < product->rows;
        for (int32_t k = 0; k <= two; ++k) {
            task.second = output + place - task.output;
            place += product->row_step;
            if (--left == 0) {
                place += product->row_jump;
                left = product->row_run;
            }
        }
#if NAME_DSP
        if (two) {
            NAME_widen(input, tile, inner);
            task.input = tile;
            NAME_two_rows(&task);
            continue;
        }
#else
        (void)tile;
#endif
        NAME_one_row(&task);
    }
}
