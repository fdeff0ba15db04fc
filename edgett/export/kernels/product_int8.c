/* output = input x weights. Rows that are not written yet are room for two where there is none, if rows lie one behind the
 * other. */
static NAME_APART void NAME_product_int8(const int8_t *input, int8_t *output, int8_t *tile, int32_t room,
                                         const uint32_t *weights, const NAME_product *product) {
    int32_t done = 0;
#if NAME_DSP && NAME_PAIRS
    const int32_t wide = 4 * product->inner, apart = product->row_step;
    const int32_t behind = product->step == 1 && product->jump == 0 && product->row_jump == 0 && apart == product->columns;
    if (room < wide && behind) {
        done = product->rows - (wide + 3 + apart - 1) / apart;
        done = done < 2 ? 0 : done / 2 * 2;
        if (done > 0) {
            int8_t *const end = output + product->rows * apart - wide;
            NAME_part_int8(input, output, end - ((uintptr_t)end & 3), wide, weights, product, 0, done);
        }
    }
#endif
    NAME_part_int8(input + done * product->inner, output, tile, room, weights, product, done, product->rows - done);
}
