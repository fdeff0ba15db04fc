/* What a machine tells of itself, and how it is written down as JSON. */
#define _GNU_SOURCE
#include "runner.h"

#include <ctype.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

void quoted(FILE *out, const char *text) {
    putc('"', out);
    for (; *text != '\0'; ++text) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c < 32 || c == 127) {
            fprintf(out, "\\u%04x", c);
        } else {
            putc(c, out);
        }
    }
    putc('"', out);
}

void pair(FILE *out, const char *key, const char *value) {
    fprintf(out, "\"%s\": ", key);
    quoted(out, value);
}

/* The beginning of a file, without what is white at its end; nothing where it cannot be read. */
const char *text(const char *path) {
    static char content[1 << 16];
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = 0, got = 0;
    while (file >= 0 && (got = read(file, content + size, sizeof content - 1 - (size_t)size)) > 0) {
        size += got;
    }
    if (file >= 0) {
        close(file);
    }
    while (size > 0 && (isspace((unsigned char)content[size - 1]) || content[size - 1] == '\0')) {
        --size;
    }
    content[size] = '\0';
    return content;
}

/* What follows a key and a colon in lines; NULL when none does. */
static const char *field(const char *lines, const char *key) {
    static char value[256];
    for (const char *line = lines; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        const size_t length = strlen(key);
        if (strncmp(line, key, length) == 0) {
            const char *rest = line + length + strspn(line + length, " \t");
            if (*rest == ':') {
                rest += 1 + strspn(rest + 1, " \t");
                snprintf(value, sizeof value, "%.*s", (int)strcspn(rest, "\n"), rest);
                return *value != '\0' ? value : NULL;
            }
        }
    }
    return NULL;
}

/* Bytes of this process as the kernel counts them. */
int64_t memory(const char *key) {
    const char *found = field(text("/proc/self/status"), key);
    return found == NULL ? 0 : 1024 * strtoll(found, NULL, 10);
}

int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return INT64_C(1000000000) * at.tv_sec + at.tv_nsec;
}

/* Where temporary files are. */
const char *place(void) {
    const char *found = getenv("TMPDIR");
    return found != NULL && *found != '\0' ? found : "/tmp";
}

/* Replace a file by what `say` writes, whole or not at all; whether there was room. */
bool put(const char *path, void (*say)(FILE *)) {
    char part[64];
    snprintf(part, sizeof part, "%s.part", path);
    FILE *const out = fopen(part, "w");
    if (out == NULL) {
        return false;
    }
    say(out);
    const bool whole = ferror(out) == 0;
    return fclose(out) == 0 && whole && rename(part, path) == 0;
}

/* Write what a file holds. */
void copy(FILE *out, const char *path) {
    char block[4096];
    size_t got;
    FILE *const in = fopen(path, "rb");
    while (in != NULL && (got = fread(block, 1, sizeof block, in)) > 0) {
        fwrite(block, 1, got, out);
    }
    if (in != NULL) {
        fclose(in);
    }
}

/* Keep to the last processor, where cores differ one of the fast ones; -1 where that is impossible. */
int pin(void) {
    cpu_set_t set;
    int last = -1;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return -1;
    }
    for (int i = 0; i < CPU_SETSIZE; ++i) {
        last = CPU_ISSET(i, &set) ? i : last;
    }
    CPU_ZERO(&set);
    CPU_SET(last < 0 ? 0 : last, &set);
    return last >= 0 && sched_setaffinity(0, sizeof set, &set) == 0 ? last : -1;
}

/* Governor, clock and temperature, where the machine tells. */
void say_state(FILE *out, int processor) {
    char path[96];
    const int cpu = processor < 0 ? 0 : processor;
    long hottest = -1000000;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", cpu);
    const char *found = text(path);
    fputs("{\"governor\": ", out);
    if (*found != '\0') {
        quoted(out, found);
    } else {
        fputs("null", out);
    }
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", cpu);
    found = text(path);
    fprintf(out, isdigit((unsigned char)*found) ? ", \"mhz\": %.3f" : ", \"mhz\": null", strtod(found, NULL) / 1000);
    for (int zone = 0; zone < 64; ++zone) {
        snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", zone);
        found = text(path);
        if (*found != '\0' && strtol(found, NULL, 10) > hottest) {
            hottest = strtol(found, NULL, 10);
        }
    }
    fprintf(out, hottest > -1000000 ? ", \"celsius\": %.3f}" : ", \"celsius\": null}", (double)hottest / 1000);
}

void say_machine(FILE *out) {
    static const char *const keys[] = {"model name", "Hardware", "Model", "cpu model", "uarch"};
    struct utsname names;
    char system[160];
    uname(&names);
    const char *processor = NULL;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && processor == NULL; ++i) {
        processor = field(text("/proc/cpuinfo"), keys[i]);
    }
    if (processor == NULL) {
        processor = text("/proc/device-tree/model");
    }
    fputs("{", out);
    pair(out, "processor", *processor != '\0' ? processor : names.machine);
    fputs(", ", out);
    pair(out, "architecture", names.machine);
    fputs(", ", out);
    snprintf(system, sizeof system, "%s %s", names.sysname, names.release);
    pair(out, "system", system);
    fputs("}", out);
}
