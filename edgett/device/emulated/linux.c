/* The marks between which the plugin counts: first nothing, then an inference. */
#include <sys/resource.h>

void count(void (*run)(void));

static void nothing(void) {}

static void between(void (*run)(void)) {
    getpriority(MARK, 0);
    run();
    getpriority(MARK, 1);
}

void count(void (*run)(void)) {
    between(nothing);
    between(run);
}
