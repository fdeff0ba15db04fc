/* Runs the self-test of every model and prints what came of it, and how deep the stack went. */
#include <stdint.h>
#include <stdio.h>

#include "models.h"

#define PAINT 0xA5A5A5A5u
#define DEPTH 16384u

static volatile uint32_t *bottom;

/* Paints the stack below the caller's frame. Nothing else runs that could use it meanwhile. */
static __attribute__((noinline)) void paint(uintptr_t top) {
    volatile uint32_t *word = (volatile uint32_t *)(((uintptr_t)__builtin_frame_address(0) - 64u) & ~(uintptr_t)7);
    bottom = (volatile uint32_t *)((top - DEPTH) & ~(uintptr_t)7);
    while (word > bottom) {
        *--word = PAINT;
    }
}

/* The bytes below the caller's frame that something has written since; DEPTH says that it went deeper. */
static __attribute__((noinline)) unsigned reached(uintptr_t top) {
    volatile uint32_t *word = bottom;
    while ((uintptr_t)word < top && *word == PAINT) {
        ++word;
    }
    return (unsigned)(top - (uintptr_t)word);
}

#define MODEL(name) \
    { \
        const uintptr_t top = (uintptr_t)__builtin_frame_address(0); \
        int failed; \
        unsigned stack; \
        paint(top); \
        failed = name##_selftest(name##_run); \
        stack = reached(top); \
        printf(#name ": %d vectors failed, stack %u\n", failed, stack); \
        all += failed; \
    }

int main(void) {
    int all = 0;
    MODELS
    printf(all ? "FAILED\n" : "PASSED\n");
    return all != 0;
}
