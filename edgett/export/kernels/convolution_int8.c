#if NAME_DSP && NAME_PAIRS
/* Two neighbouring positions of all channels, a `plane` apart, in 16 bits: as NAME_widen does of rows. */
static NAME_APART void NAME_gather(const int8_t *input, int8_t *tile, int32_t channels, int32_t plane) {
    register const int8_t *in_r0 __asm__("r0") = input;
    register int8_t *wide __asm__("r1") = tile;
    register int32_t apart __asm__("r2") = plane;
    register int32_t groups __asm__("r3") = channels / 4;
    register int32_t rest __asm__("r12") = channels % 4;
    __asm__ volatile(
        "push {r4-r9}\n"
        "cbz r3, 2f\n"
        "1: ldrh r4, [r0]\n ldrh r5, [r0, r2]\n add r0, r0, r2, lsl #1\n"
        "ldrh r6, [r0]\n ldrh r7, [r0, r2]\n add r0, r0, r2, lsl #1\n"
        "orr r4, r4, r6, lsl #16\n orr r5, r5, r7, lsl #16\n"
        "sxtb16 r6, r4\n sxtb16 r7, r4, ror #8\n sxtb16 r8, r5\n sxtb16 r9, r5, ror #8\n"
        "stmia r1!, {r6-r9}\n"
        "subs r3, #1\n"
        "bne 1b\n"
        "2: cmp r12, #0\n"
        "beq 4f\n"
        "3: ldrsb r4, [r0]\n ldrsb r5, [r0, #1]\n add r0, r0, r2\n"
        "pkhbt r4, r4, r5, lsl #16\n"
        "str r4, [r1], #4\n"
        "subs r12, #1\n"
        "bne 3b\n"
        "4: pop {r4-r9}\n"
        : "+r"(in_r0), "+r"(wide), "+r"(groups), "+r"(rest)
        : "r"(apart)
        : "cc", "memory");
}
#endif

/* A row of all channels that are made, so many rows of an image apart in memory. */
NAME_INSIDE NAME_task NAME_task_of(const int8_t *input, const uint32_t *weights, int8_t *output, int32_t rows,
                                   const NAME_window *w, int32_t inner) {
    const int32_t count = w->out_channels;
    const NAME_task task = {input, weights, output, 1, rows * w->out_width, w->zero, 0, count, count, 0, count,
                            inner / 4, inner % 4};
    return task;
}

/* output = input * weights: a product for each position. `scratch` takes what is kept where the output is the input,
 * and what the window sees; where there is `room`, what it sees at two positions, and then the same in 16 bits. */
static NAME_APART void NAME_convolution_int8(const int8_t *input, int8_t *output, int8_t *scratch, int32_t room,
                                             const uint32_t *weights, const NAME_window *w) {
    const int32_t inner = w->channels * w->rows * w->columns, places = w->out_height * w->out_width;
    for (int32_t image = 0; image < w->images; ++image) {
        NAME_made_int8 made = NAME_into_int8(input, output, scratch, w);
        const int32_t kept = NAME_kept_int8(&made, w);
        int8_t *const seen = scratch + kept;
        NAME_task task;
        int32_t place = 0;
#if NAME_PAIRS
        const int32_t two = (2 * inner + 3) / 4 * 4;
#if NAME_DSP
        const int32_t still = w->down == 1 && w->across == 1 && w->top + w->left == 0;
        const int32_t pixels = still && inner == w->channels && places == w->height * w->width && w->pixel == 1;
#else
        const int32_t pixels = 0;
#endif
        for (; kept + two + 4 * inner <= room && place + 1 < places; place += 2) {
            task = NAME_task_of(seen, weights, output + place, made.rows, w, inner);
            if (kept > 0) {
                NAME_settle_int8(&made, w, place);
                task.output = NAME_at_int8(&made, w, place);
                task.second = (int32_t)(NAME_at_int8(&made, w, place + 1) - task.output);
            }
            if (!pixels) {
                NAME_patch_int8(input, seen, w, place);
                NAME_patch_int8(input, seen + inner, w, place + 1);
            }
#if NAME_DSP
            task.input = seen + two;
            if (pixels) {
                NAME_gather(input + place, seen + two, inner, w->plane);
            } else {
                NAME_widen(seen, seen + two, inner);
            }
#endif
            NAME_two_rows(&task);
        }
#else
        (void)room;
#endif
        for (; place < places; ++place) {
            task = NAME_task_of(seen, weights, output + place, made.rows, w, inner);
            if (kept > 0) {
                NAME_settle_int8(&made, w, place);
                task.output = NAME_at_int8(&made, w, place);
            }
            NAME_patch_int8(input, seen, w, place);
            NAME_one_row(&task);
        }
        NAME_settle_int8(&made, w, places);
        input += w->channels * w->height * w->width;
        output += w->out_channels * places;
    }
}
