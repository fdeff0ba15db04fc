/* `scratch` holds a block of what the first makes; the bias is the second's. */
static NAME_APART void NAME_fused_float(const float *input, float *output, float *scratch, const float *first,
                                        const float *second, const float *bias, const NAME_fused *f) {
    const float *from = input;
    int32_t left = f->along;
    for (int32_t row = 0; row < f->second.rows; row += f->at_once) {
        NAME_part_float(from, scratch, first, 0, &f->first, 0, f->first.rows);
        NAME_part_float(scratch, output, second, bias, &f->second, row, f->at_once);
        from += f->first.rows * f->first.inner;
        if (--left == 0) {
            left = f->along;
            from = input;
            first += f->next;
        }
    }
}
