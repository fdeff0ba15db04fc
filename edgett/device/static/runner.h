/* What the parts of a runner share. The working directory of all of it is the folder of the benchmark. */
#ifndef RUNNER_H
#define RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct artefact {
    const char *file; /* its number, and its name */
    void (*run)(void);
    void *given; /* the numbers of one inference */
    const void *made;
    size_t given_bytes, made_bytes, inferences;
    const unsigned char *inputs; /* of all inferences */
};

struct plan {
    int contract, rounds, lives;
    unsigned limit;  /* seconds for everything */
    size_t least;    /* timed runs of a turn */
    int64_t turn_ns; /* and how long they last */
    long abandoned;  /* seconds after which nobody comes back for a folder */
    long room;       /* bytes that have to be free for a report */
    const char *prefix;  /* of such folders */
    const char *results; /* the line before the results */
    const char *version; /* of what was compiled */
};

/* artefacts.c, which is written for each benchmark */
extern const struct artefact artefacts[];
extern const size_t artefact_count;
extern const struct plan plan;

/* facts.c */
const char *text(const char *path);
const char *place(void);
int64_t memory(const char *key);
int64_t now(void);
void quoted(FILE *out, const char *text);
void pair(FILE *out, const char *key, const char *value);
bool put(const char *path, void (*say)(FILE *));
void copy(FILE *out, const char *path);
int pin(void);
void say_state(FILE *out, int processor);
void say_machine(FILE *out);

/* measure.c */
void measure(int lock);
_Noreturn void fail(const char *kind, const char *format, ...);

#endif
