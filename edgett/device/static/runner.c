/* What runner.py is, for a Linux without Python: measures the artefacts that are compiled into it.
 *
 * runner FOLDER --detach    in the background, whatever becomes of the terminal; FOLDER/report.json says what came of it
 * runner FOLDER --status    whether it is done: one JSON document
 * runner FOLDER --results   the report and the outputs: a line with name and size, and so many bytes, each
 * runner FOLDER --stop      end it, and remove the folder
 *
 * Each artefact has a process of its own; they take turns, and begin anew for each life. outputs-I.bin: what artefact I
 * makes of its inputs, inference after inference. Folders that a killed client left go when another runner begins.
 */
#define _GNU_SOURCE
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The process that measures, or has measured, in the working directory; 0 before. */
static pid_t process(void) {
    const char *found = strstr(text("process.json"), "\"pid\": ");
    return found == NULL ? 0 : (pid_t)strtol(found + 7, NULL, 10);
}

/* Remove a folder of files; the working directory is in it afterwards. */
static void clear(const char *folder) {
    DIR *const listed = chdir(folder) == 0 ? opendir(".") : NULL;
    struct dirent *entry;
    while (listed != NULL && (entry = readdir(listed)) != NULL) {
        unlink(entry->d_name);
    }
    if (listed != NULL) {
        closedir(listed);
        rmdir(folder);
    }
}

/* Remove what was left behind: folders of this user's for which nobody comes back, and whose runner has ended. */
static void sweep(void) {
    DIR *const listed = opendir(place());
    struct dirent *entry;
    while (listed != NULL && (entry = readdir(listed)) != NULL) {
        char folder[4096];
        struct stat found;
        if (strncmp(entry->d_name, plan.prefix, strlen(plan.prefix)) != 0) {
            continue;
        }
        const int length = snprintf(folder, sizeof folder, "%s/%s", place(), entry->d_name);
        if (length >= (int)sizeof folder || lstat(folder, &found) != 0 || !S_ISDIR(found.st_mode)) {
            continue;
        }
        const bool old = found.st_uid == getuid() && found.st_mtime < time(NULL) - plan.abandoned;
        if (old && chdir(folder) == 0 && (process() == 0 || kill(process(), 0) != 0)) {
            clear(folder);
        }
    }
    if (listed != NULL) {
        closedir(listed);
    }
}

/* The machine's lock, held while it is open: a file of whoever came first, for all to read, whatever his umask. */
static int lock(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/edgett-bench.lock", place());
    const int made = open(path, O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (made >= 0) {
        fchmod(made, 0644);
        close(made);
    }
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0 && flock(file, LOCK_EX | LOCK_NB) == 0) {
        return file;
    }
    if (file >= 0 && errno == EWOULDBLOCK) {
        fail("busy", "another benchmark is running");
    }
    fail("lock", "%s cannot be locked: %s", path, strerror(errno));
}

static void say_process(FILE *out) {
    fprintf(out, "{\"pid\": %ld}", (long)getpid());
}

/* Whether the report and the times have room on the disk; errno says what else. */
static bool room(void) {
    const int file = open("room", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    errno = file < 0 ? errno : posix_fallocate(file, 0, plan.room);
    const int why = errno;
    close(file);
    unlink("room");
    errno = why;
    return why == 0 || why == EOPNOTSUPP || why == EINVAL;
}

/* Work on in the background, of no terminal. */
static int detach(void) {
    const pid_t pid = room() ? fork() : -1;
    if (pid < 0) {
        perror("runner");
    }
    if (pid != 0) {
        return pid < 0;
    }
    setsid();
    const int none = open("/dev/null", O_RDONLY), log = open("runner.log", O_CREAT | O_WRONLY | O_APPEND, 0600);
    dup2(none, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    if (!put("process.json", say_process)) {
        fail("disk", "%s", place());
    }
    measure(lock());
    return 0;
}

/* The folder's time says who asked last. */
static int status(const char *folder) {
    const pid_t pid = process();
    const bool gone = pid != 0 && kill(pid, 0) != 0;
    utimensat(AT_FDCWD, folder, NULL, 0);
    if (access("report.json", F_OK) == 0) {
        puts("{\"state\": \"done\"}");
    } else if (gone) {
        const char *log = text("runner.log");
        const size_t size = strlen(log);
        fputs("{\"state\": \"gone\", ", stdout);
        pair(stdout, "log", size > 500 ? log + size - 500 : log);
        puts("}");
    } else {
        const char *progress = text("progress");
        printf("{\"state\": \"running\", %s}\n", *progress != '\0' ? progress : "\"done\": 0, \"of\": 0");
    }
    return 0;
}

static int results(void) {
    puts(plan.results);
    for (size_t i = 0; i <= artefact_count; ++i) {
        char name[64] = "report.json";
        struct stat found;
        if (i < artefact_count) {
            snprintf(name, sizeof name, "outputs-%zu.bin", i);
        }
        if (stat(name, &found) == 0) {
            printf("%s %lld\n", name, (long long)found.st_size);
            copy(stdout, name);
        }
    }
    return fflush(stdout) != 0;
}

static int stop(const char *folder) {
    if (process() > 1) {
        kill(-process(), SIGKILL);
    }
    clear(folder);
    puts("{\"state\": \"removed\"}");
    return 0;
}

int main(int count, char **arguments) {
    if (count != 3 || arguments[1][0] != '/' || chdir(arguments[1]) != 0) {
        return 2;
    }
    const char *const folder = arguments[1], *const how = arguments[2];
    if (strcmp(how, "--status") == 0) {
        return status(folder);
    }
    if (strcmp(how, "--results") == 0) {
        return results();
    }
    if (strcmp(how, "--stop") == 0) {
        return stop(folder);
    }
    sweep();
    return strcmp(how, "--detach") != 0 || chdir(folder) != 0 ? 2 : detach();
}
