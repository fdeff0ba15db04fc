/* Measures the artefacts: each in a process of its own, in turns. */
#define _GNU_SOURCE
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 256, NAME = 64, WARM_UP = 2, MOST = 1000, DISK = 28 };

static struct child {
    pid_t pid;
    int asks, answers;
} children[MANY];
static volatile sig_atomic_t late;
static int processor = -1;

static const char *named(const char *format, size_t index) {
    static char name[NAME];
    snprintf(name, sizeof name, format, index);
    return name;
}

static const char *kind, *message;

static void say_error(FILE *out) {
    fprintf(out, "{\"contract\": %d, \"error\": {", plan.contract);
    pair(out, "kind", kind);
    fputs(", ", out);
    pair(out, "message", message);
    fputs("}}", out);
}

/* What is said of an artefact: its file's name, without the number before it. */
static const char *called(size_t index) {
    return strchr(artefacts[index].file, '-') + 1;
}

_Noreturn void fail(const char *what, const char *format, ...) {
    static char words[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    for (size_t i = 0; i < artefact_count && i < MANY; ++i) {
        if (children[i].pid > 0) {
            kill(children[i].pid, SIGKILL);
        }
        unlink(named("times-%zu", i)); /* of no more use; a full disk has room for the report then */
        unlink(named("outputs-%zu.bin", i));
    }
    kind = what;
    message = words;
    exit(!put("report.json", say_error));
}

static void ring(int number) {
    (void)number;
    late = 1;
}

/* --- an artefact, in a process of its own --- */

static void turn(const struct artefact *one, size_t index) {
    static int64_t *times;
    static size_t room;
    size_t count = 0;
    for (int i = 0; i < WARM_UP; ++i) {
        one->run();
    }
    const size_t most = plan.least > MOST ? plan.least : MOST;
    const int64_t end = now() + plan.turn_ns;
    while ((count < plan.least || now() < end) && count < most) {
        if (count == room) {
            room = room == 0 ? MOST : 2 * room;
            times = realloc(times, room * sizeof *times);
            if (times == NULL) {
                raise(SIGKILL); /* as the system would */
            }
        }
        const int64_t begin = now();
        one->run();
        times[count++] = now() - begin;
    }
    FILE *const out = fopen(named("times-%zu", index), "a");
    if (out == NULL) {
        _exit(DISK);
    }
    fputs(ftell(out) > 0 ? ", [" : "[", out);
    for (size_t i = 0; i < count; ++i) {
        fprintf(out, "%s%" PRId64, i > 0 ? ", " : "", times[i] > 0 ? times[i] : 1);
    }
    putc(']', out);
    if ((ferror(out) | fclose(out)) != 0) {
        _exit(DISK);
    }
}

static int64_t first_ns, before_bytes, peak_bytes;

static void say_facts(FILE *out) {
    fputs("\"runtime\": \"C\", ", out);
    pair(out, "version", plan.version);
    fprintf(out, ", \"start_ns\": %" PRId64 ", \"peak_bytes\": %" PRId64 ", \"added_bytes\": %" PRId64, first_ns, peak_bytes,
            peak_bytes > before_bytes ? peak_bytes - before_bytes : 0);
}

static void finish(const struct artefact *one, size_t index) {
    FILE *const out = fopen(named("outputs-%zu.bin", index), "wb");
    for (size_t i = 0; out != NULL && i < one->inferences; ++i) {
        memcpy(one->given, one->inputs + i * one->given_bytes, one->given_bytes);
        one->run();
        fwrite(one->made, one->made_bytes, 1, out);
    }
    if (out == NULL || (ferror(out) | fclose(out)) != 0) {
        _exit(DISK);
    }
    if (!put(named("facts-%zu", index), say_facts)) {
        _exit(DISK);
    }
}

static _Noreturn void serve(const struct artefact *one, size_t index, int asks, int answers) {
    char asked = 'k';
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    before_bytes = memory("VmRSS");
    const int64_t start = now();
    memcpy(one->given, one->inputs, one->given_bytes);
    one->run();
    first_ns = now() - start;
    peak_bytes = memory("VmHWM"); /* before the other samples are read, and times kept */
    while (write(answers, "k", 1) == 1 && read(asks, &asked, 1) == 1) {
        if (asked == 't') {
            turn(one, index);
        } else {
            finish(one, index);
        }
    }
    _exit(0);
}

/* --- their parent --- */

static void heard(size_t index) {
    char answer;
    ssize_t got;
    while ((got = read(children[index].answers, &answer, 1)) < 0 && errno == EINTR && !late) {
    }
    if (late) {
        fail("time", "it took longer than allowed");
    }
    if (got != 1) {
        int status = 0;
        waitpid(children[index].pid, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == DISK) {
            fail("disk", "%s", place());
        }
        if (WIFSIGNALED(status)) {
            fail(WTERMSIG(status) == SIGKILL ? "killed" : "died", "the process of %s was ended by signal %d",
                 called(index), WTERMSIG(status));
        }
        fail("died", "the process of %s ended", called(index));
    }
}

static void ask(size_t index, char what) {
    if (write(children[index].asks, &what, 1) != 1 && late) {
        fail("time", "it took longer than allowed");
    }
    heard(index);
}

static void begin(size_t index, int lock) {
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0) {
        fail("failed", "no pipe: %s", strerror(errno));
    }
    const pid_t pid = fork();
    if (pid < 0) {
        fail("memory", "no process for %s: %s", called(index), strerror(errno));
    }
    if (pid == 0) {
        close(lock);
        close(down[1]);
        close(up[0]);
        for (size_t i = 0; i < index; ++i) { /* or they would outlive their parent */
            close(children[i].asks);
            close(children[i].answers);
        }
        serve(&artefacts[index], index, down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    children[index] = (struct child){pid, down[1], up[0]};
    heard(index);
}

static int done;

static void say_progress(FILE *out) {
    fprintf(out, "\"done\": %d, \"of\": %d", done, plan.rounds * plan.lives);
}

static void live(int lock) {
    for (size_t i = 0; i < artefact_count; ++i) {
        begin(i, lock);
    }
    for (int round = 0; round < plan.rounds; ++round) {
        for (size_t i = 0; i < artefact_count; ++i) {
            ask(round % 2 == 0 ? i : artefact_count - 1 - i, 't');
        }
        ++done;
        if (!put("progress", say_progress)) {
            fail("disk", "%s", place());
        }
    }
    for (size_t i = 0; i < artefact_count; ++i) {
        ask(i, 'f');
        close(children[i].asks);
        close(children[i].answers);
        waitpid(children[i].pid, NULL, 0);
        children[i].pid = 0;
    }
}

static char *state_before;

static void say_report(FILE *out) {
    fprintf(out, "{\"contract\": %d, \"machine\": ", plan.contract);
    say_machine(out);
    fputs(", \"threads\": 1, \"pinned\": [", out);
    fprintf(out, processor < 0 ? "]" : "%d]", processor);
    fprintf(out, ", \"before\": %s, \"after\": ", state_before);
    say_state(out, processor);
    fputs(", \"artefacts\": [", out);
    for (size_t i = 0; i < artefact_count; ++i) {
        fputs(i > 0 ? ", {" : "{", out);
        pair(out, "file", artefacts[i].file);
        fputs(", ", out);
        copy(out, named("facts-%zu", i));
        fputs(", \"turns\": [", out);
        copy(out, named("times-%zu", i));
        fputs("]}", out);
    }
    fputs("]}", out);
}

/* Everything that the plan asks for, `lock` held by this process alone; report.json says what came of it. */
void measure(int lock) {
    size_t size;
    struct itimerval limit = {.it_interval = {.tv_sec = 1}, .it_value = {.tv_sec = plan.limit}};
    struct sigaction action = {.sa_handler = ring};
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &limit, NULL);
    if (artefact_count > MANY) {
        fail("failed", "%zu artefacts are more than %d", artefact_count, MANY);
    }
    processor = pin();
    FILE *const before = open_memstream(&state_before, &size);
    if (before == NULL) {
        fail("memory", "%s", strerror(errno));
    }
    say_state(before, processor);
    fclose(before);
    for (int life = 0; life < plan.lives; ++life) {
        live(lock);
    }
    if (!put("report.json", say_report)) {
        fail("disk", "%s", place());
    }
}
