static void NAME_add_tensors(const int8_t *input, const int8_t *other, int8_t *output, const NAME_sum *sum) {
    NAME_add(input, output, other, sum);
}
