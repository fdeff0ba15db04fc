/* Calls kernels with the cases of cases.bin: the kernel, its numbers, its arrays, the bytes of its output. Leaves what they
 * make in outputs.bin; fails where they write beside their output or beside their scratch. */
#include <stdio.h>
#include <stdlib.h>

enum { GUARD = 64, ARRAYS = 4 };

static int32_t whole(FILE *file) {
    int32_t value = 0;
    if (fread(&value, 4, 1, file) != 1) {
        exit(3);
    }
    return value;
}

static uint8_t *room(int32_t bytes) {
    uint8_t *const made = malloc((size_t)bytes + 2 * GUARD);
    if (made == NULL) {
        exit(4);
    }
    memset(made, 0x55, (size_t)bytes + 2 * GUARD);
    return made + GUARD;
}

static void intact(const uint8_t *place, int32_t bytes) {
    for (int32_t i = 0; i < GUARD; ++i) {
        if (place[-1 - i] != 0x55 || place[bytes + i] != 0x55) {
            exit(5);
        }
    }
}

int main(void) {
    FILE *const cases = fopen("cases.bin", "rb");
    FILE *const outputs = fopen("outputs.bin", "wb");
    if (cases == NULL || outputs == NULL) {
        return 2;
    }
    for (int32_t count = whole(cases); count > 0; --count) {
        const int32_t kind = whole(cases);
        int32_t n[32] = {0}, bytes[ARRAYS] = {0};
        uint8_t *a[ARRAYS] = {0};
        for (int32_t i = 0, many = whole(cases); i < many; ++i) {
            n[i] = whole(cases);
        }
        for (int32_t i = 0; i < ARRAYS; ++i) {
            bytes[i] = whole(cases);
            a[i] = room(bytes[i]);
            if (fread(a[i], 1, (size_t)bytes[i], cases) != (size_t)bytes[i]) {
                return 3;
            }
        }
        const int32_t scratch_bytes = whole(cases), made_bytes = whole(cases), over = whole(cases);
        uint8_t *const scratch = room(scratch_bytes);
        const int32_t more = over && made_bytes > bytes[0] ? made_bytes - bytes[0] : 0;
        if (more > 0) {
            uint8_t *const wider = room(made_bytes);
            memcpy(wider, a[0], (size_t)bytes[0]);
            free(a[0] - GUARD);
            a[0] = wider;
        }
        uint8_t *const made = over ? a[0] : room(made_bytes);
        call(kind, n, a, made, scratch, scratch_bytes);
        intact(made, over ? bytes[0] + more : made_bytes);
        intact(scratch, scratch_bytes);
        fwrite(made, 1, (size_t)made_bytes, outputs);
        for (int32_t i = 0; i < ARRAYS; ++i) {
            free(a[i] - GUARD);
        }
        free(scratch - GUARD);
        if (!over) {
            free(made - GUARD);
        }
    }
    return fclose(outputs) != 0;
}
