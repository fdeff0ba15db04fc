#include <string.h>

/* A channel with its padding, `across` numbers a row, of which there are `down`. */
static void NAME_plane_KIND(const NUMBER *input, NUMBER *plane, const NAME_window *w, int32_t down, int32_t across) {
    const int32_t rows = down - w->top < w->height ? down - w->top : w->height;
    const int32_t columns = across - w->left < w->width ? across - w->left : w->width;
    memset(plane, w->in_zero, (size_t)(down * across) * sizeof *plane); /* of float it is 0 */
    plane += w->top * across + w->left;
    for (int32_t row = 0; row < rows; ++row, input += w->width, plane += across) {
        memcpy(plane, input, (size_t)columns * sizeof *plane);
    }
}
