/* Rows of output = input x weights, from `row` on; `input` begins with that. Two at a time where they need no room or
 * have it: 4 x inner bytes. */
static NAME_APART void NAME_part_int8(const int8_t *input, int8_t *output, int8_t *tile, int32_t room,
                                      const uint32_t *weights, const NAME_product *product, int32_t row,
                                      int32_t count) {
    const int32_t inner = product->inner;
    int32_t left = product->row_run - row % product->row_run;
    int32_t place = row * product->row_step + row / product->row_run * product->row_jump;
    for (int32_t two; count > 0; count -= 1 + two, input += (1 + two) * inner) {
        NAME_task task = {input, weights, output + place, 0, product->step, product->zero, 0, product->run,
                          product->run, product->jump, product->columns, inner / 4, inner % 4};
        two = NAME_PAIRS && (!NAME_DSP || room >= 4 * inner) && count > 1;
        for (int32_t k = 0; k <= two; ++k) {
            task.second = output + place - task.output;
            place += product->row_step;
            if (--left == 0) {
                place += product->row_jump;
                left = product->row_run;
            }
        }
#if NAME_PAIRS
        if (two) {
#if NAME_DSP
            NAME_widen(input, tile, inner);
            task.input = tile;
#else
            (void)tile;
#endif
            NAME_two_rows(&task);
            continue;
        }
#else
        (void)tile;
        (void)room;
#endif
        NAME_one_row(&task);
    }
}
