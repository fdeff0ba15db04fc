/* output = input x weights + bias. */
static NAME_APART void NAME_product_float(const float *input, float *output, const float *weights, const float *bias,
                                          const NAME_product *product) {
    NAME_part_float(input, output, weights, bias, product, 0, product->rows);
}
