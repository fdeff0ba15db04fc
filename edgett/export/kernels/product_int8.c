/* output = input x weights. */
static NAME_APART void NAME_product_int8(const int8_t *input, int8_t *output, int8_t *tile, int32_t room,
                                         const uint32_t *weights, const NAME_product *product) {
    NAME_part_int8(input, output, tile, room, weights, product, 0, product->rows);
}
