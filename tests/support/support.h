/* SPDX-License-Identifier: BSD-2-Clause */
/* What every C test shares: checks that are safe on any thread, threads, a seeded generator. */
#ifndef LW_TESTS_SUPPORT_H
#define LW_TESTS_SUPPORT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the process: cmocka's own assertions jump, which only its main thread may do. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            support_fail(__FILE__, __LINE__, #condition);                                          \
        }                                                                                          \
    } while (0)

/* As CHECK(a == b), and prints both. */
#define CHECK_EQ(a, b)                                                                             \
    support_equal(__FILE__, __LINE__, #a " == " #b, (unsigned long long)(a),                       \
                  (unsigned long long)(b))

#ifdef __cplusplus
extern "C" {
#endif

__attribute__((noreturn)) void support_fail(const char *file, int line, const char *what);
void support_equal(const char *file, int line, const char *what, unsigned long long a,
                   unsigned long long b);

/* Ends a case that cannot run on this system, and says why: `make cross` names it. Elsewhere CTest
 * counts it as a failure. */
__attribute__((noreturn)) void support_skip(const char *reason);

/* LW_SEED in the environment, or a random one; printed at the first call. */
uint64_t support_seed(void);
/* LW_SECONDS in the environment, or `seconds`. */
double support_seconds(double seconds);
int64_t support_now(void);
void support_sleep(int64_t ns);
/* Resident memory of this process in bytes, after free memory went back to the system. */
size_t support_resident(void);
/* Bytes that are a fact of the sanitizer and not of the code: resident memory tells nothing. */
bool support_sanitized(void);

typedef struct support_random {
    uint64_t state;
} support_random;

/* Streams of one seed differ by `stream`: a thread's number. */
support_random support_random_new(uint64_t seed, uint64_t stream);
uint64_t support_next(support_random *random);
/* 0 to n - 1. */
uint64_t support_below(support_random *random, uint64_t n);

typedef void (*support_thread_fn)(void *arg);

typedef struct support_thread {
    pthread_t id;
    support_thread_fn fn;
    void *arg;
    int ended;
} support_thread;

void support_start(support_thread *thread, support_thread_fn fn, void *arg);
/* Whether the calling thread is one of these. */
bool support_started(void);
/* For hooks: ends the calling thread if `*ending`, which becomes 0, and support_start started it.
 * The main thread may happen to wait, too. */
void support_end(int *ending);
void support_join(support_thread *thread);
/* Runs fn(&args[i * size]) on n threads at once and waits for them. */
void support_run(int n, support_thread_fn fn, void *args, size_t size);

/* Keeps the calling thread on a processor of its own, by its number, where there are several: for
 * cases that find something only while two run at once. A busy machine may otherwise leave both on
 * one processor for as long as it likes. */
void support_keep_apart(int number);

/* Keeps a thread in a signal handler (SIGUSR1), and returns when it is there: what is woken or
 * given to it meanwhile it does not see. One at a time, until support_let_go. */
void support_hold_up(const support_thread *thread);
void support_let_go(void);

/* A step that threads agree on: waits (blocking) until *step reached `value`. */
typedef struct support_step {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int value;
} support_step;

#define SUPPORT_STEP_INIT                                                                          \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0                                     \
    }

void support_reach(support_step *step, int value);
void support_await(support_step *step, int value);

/* Runs fn in a forked child and gives its exit status as of waitpid; what it wrote to stderr goes
 * to `output` (may be NULL), cut to `size` and ended with a zero. The child is killed after
 * LW_HUNG_CHILD seconds, or 20. */
int support_fork(void (*fn)(void *arg), void *arg, char *output, size_t size);
/* The same, and the child must end with 0. */
void support_fork_ok(void (*fn)(void *arg), void *arg);

/* Waits until `count` threads sleep in the library on `address`. */
void support_await_waiters(const void *address, size_t count);
/* Until somebody waits at one of the addresses who came after `since_ns`, a support_mark(), or the
 * thread that should has ended. A count tells nothing where others may leave. Whoever was woken and
 * waits anew has come anew. */
void support_await_newcomer(const void *address, const void *other, int64_t since_ns,
                            const support_thread *thread);
/* The time; who comes after it does so by more than a look at all queues takes. */
int64_t support_mark(void);
size_t support_waiters(const void *address);
/* How many are announced in the queue of an address. */
uint32_t support_announced(const void *address);

#ifdef __cplusplus
}
#endif

#endif
