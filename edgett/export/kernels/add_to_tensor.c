static void NAME_add_to_tensor(const int8_t *other, const int8_t *input, int8_t *output, const NAME_sum *sum) {
    NAME_add(input, output, other, sum);
}
