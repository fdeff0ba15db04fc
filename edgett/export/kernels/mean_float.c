typedef float NAME_sum_float;

static float NAME_mean_float(float sum, int32_t seen, int32_t count, float scale, const NAME_window *w) {
    (void)seen;
    (void)w;
    return sum / (float)count * scale;
}
