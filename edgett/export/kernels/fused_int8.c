/* `scratch` holds a block of what the first makes, and behind it what a product has room for. */
static NAME_APART void NAME_fused_int8(const int8_t *input, int8_t *output, int8_t *scratch, int32_t room,
                                       const uint32_t *first, const uint32_t *second, const NAME_fused *f) {
    const int32_t held = (f->at_once * f->second.inner + 3) / 4 * 4;
    const int8_t *from = input;
    int32_t left = f->along;
    for (int32_t row = 0; row < f->second.rows; row += f->at_once) {
        NAME_part_int8(from, scratch, scratch + held, room - held, first, &f->first, 0, f->first.rows);
        NAME_part_int8(scratch, output, scratch + held, room - held, second, &f->second, row, f->at_once);
        from += f->first.rows * f->first.inner;
        if (--left == 0) {
            left = f->along;
            from = input;
            first += f->next;
        }
    }
}
