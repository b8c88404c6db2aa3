/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit.h"

#include <string.h>
#if defined(_WIN32)
#include <process.h>
#else
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
#endif

/* ThreadSanitizer's runtime asks for this. A forked child that starts threads is part of the
 * contracts; the threads of its parent, which it never had, are no leak. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0:report_thread_leaks=0";
}

enum { UNIT_MAX = 256 };

static struct CMUnitTest unit_tests[UNIT_MAX];
static size_t unit_count;

void unit_add(const char *name, CMUnitTestFunction fn)
{
    CHECK(unit_count < UNIT_MAX);
    unit_tests[unit_count].name = name;
    unit_tests[unit_count].test_func = fn;
    unit_count++;
}

/* Runs this program on one case; whether that ended with 0. */
static bool unit_run_one(char *program, char *name)
{
    char *args[3] = {program, name, NULL};
#if defined(_WIN32)
    return _spawnv(_P_WAIT, program, (const char *const *)args) == 0;
#else
    int status = -1;
    pid_t child;
    CHECK_EQ(posix_spawn(&child, "/proc/self/exe", NULL, NULL, args, environ), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
#endif
}

static int unit_run_each(char *program)
{
    size_t i, failed = 0;
    for (i = 0; i < unit_count; i++) {
        char *name = strdup(unit_tests[i].name);
        CHECK(name != NULL);
        if (!unit_run_one(program, name)) {
            failed++;
            fprintf(stderr, "FAILED: %s\n", name);
        }
        free(name);
    }
    printf("%zu passed, %zu failed\n", unit_count - failed, failed);
    return failed != 0 || unit_count == 0;
}

int main(int argc, char **argv)
{
    size_t i;
    if (argc == 1) {
        return unit_run_each(argv[0]);
    }
    if (strcmp(argv[1], "--list") == 0) {
        for (i = 0; i < unit_count; i++) {
            puts(unit_tests[i].name);
        }
        return unit_count == 0;
    }
    for (i = 0; i < unit_count; i++) {
        if (strcmp(unit_tests[i].name, argv[1]) == 0) {
            return _cmocka_run_group_tests(argv[1], &unit_tests[i], 1, NULL, NULL);
        }
    }
    fprintf(stderr, "no test case '%s'\n", argv[1]);
    return 2;
}
