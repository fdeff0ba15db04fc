typedef int32_t NAME_sum_int8;

static int8_t NAME_mean_int8(int32_t sum, int32_t seen, int32_t count, float scale, const NAME_window *w) {
    return NAME_rounded((float)(sum - seen * w->in_zero) / (float)count * scale, w->zero);
}
