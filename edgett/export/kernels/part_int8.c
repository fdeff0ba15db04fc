/* The code of a column that is left alone: where its sum begins, its weights in bytes, its scale. */
static NAME_APART int8_t NAME_alone(const int8_t *x, const uint32_t *w, int32_t inner, int32_t zero) {
    int32_t sum = (int32_t)*w++;
    for (; inner >= 4; inner -= 4, x += 4, ++w) {
#if NAME_DSP
        uint32_t inputs, one, other;
        memcpy(&inputs, x, sizeof inputs);
        __asm__("sxtb16 %1, %3\n sxtb16 %2, %4\n smlad %0, %1, %2, %0\n"
                "sxtb16 %1, %3, ror #8\n sxtb16 %2, %4, ror #8\n smlad %0, %1, %2, %0"
                : "+&r"(sum), "=&r"(one), "=&r"(other)
                : "r"(inputs), "r"(*w));
#else
        sum += x[0] * (int8_t)(uint8_t)*w + x[1] * (int8_t)(uint8_t)(*w >> 8);
        sum += x[2] * (int8_t)(uint8_t)(*w >> 16) + x[3] * (int8_t)(uint8_t)(*w >> 24);
#endif
    }
    for (int32_t k = 0; k < inner; ++k) {
        sum += x[k] * (int8_t)(uint8_t)(*w >> 8 * k);
    }
    float scale;
    memcpy(&scale, NAME_ALIGNED(w + (inner > 0)), sizeof scale);
    return NAME_scaled(sum, scale, zero);
}

/* Rows of output = input x weights, from `row` on; `input` begins with that. Two at a time where they need no room or
 * have it: 4 x inner bytes. */
static NAME_APART void NAME_part_int8(const int8_t *input, int8_t *output, int8_t *tile, int32_t room,
                                      const uint32_t *weights, const NAME_product *product, int32_t row,
                                      int32_t count) {
    const int32_t inner = product->inner, last = product->columns - 1, alone = last % 4 == 0;
    const uint32_t *const behind = weights + last / 4 * (8 + inner);
    const int32_t at = last * product->step + last / product->run * product->jump;
    int32_t left = product->row_run - row % product->row_run;
    int32_t place = row * product->row_step + row / product->row_run * product->row_jump;
    for (int32_t two; count > 0; count -= 1 + two, input += (1 + two) * inner) {
        NAME_task task = {input, weights, output + place, 0, product->step, product->zero, 0, product->run,
                          product->run, product->jump, last + 1 - alone, inner / 4, inner % 4};
        two = NAME_PAIRS && (!NAME_DSP || room >= 4 * inner) && count > 1;
        for (int32_t k = 0; k <= two; ++k) {
            task.second = output + place - task.output;
            place += product->row_step;
            if (--left == 0) {
                place += product->row_jump;
                left = product->row_run;
            }
        }
        for (int32_t k = 0; alone && k <= two; ++k) {
            task.output[k * task.second + at] = NAME_alone(input + k * inner, behind, inner, product->zero);
        }
        if (last == 0) {
            continue;
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
