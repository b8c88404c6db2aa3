/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support.h"

#include <latchwork/park.h>

#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void support_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: FAILED: %s\n", file, line, what);
    fflush(stderr);
    abort();
}

void support_equal(const char *file, int line, const char *what, unsigned long long a,
                   unsigned long long b)
{
    if (a != b) {
        fprintf(stderr, "%s:%d: FAILED: %s: %llu (0x%llx) and %llu (0x%llx)\n", file, line, what, a,
                a, b, b);
        fflush(stderr);
        abort();
    }
}

/* What CTest's SKIP_RETURN_CODE is in builds for another machine. */
enum { SUPPORT_SKIPPED = 77 };

void support_skip(const char *reason)
{
    printf("SKIPPED: %s\n", reason);
    fflush(NULL);
    _exit(SUPPORT_SKIPPED);
}

uint64_t support_seed(void)
{
    static uint64_t seed;
    if (seed == 0) {
        const char *given = getenv("LW_SEED");
        if (given != NULL) {
            seed = strtoull(given, NULL, 0);
        } else {
#if defined(_WIN32)
            support_random random = support_random_new((uint64_t)support_now(), (uint64_t)getpid());
            seed = support_next(&random);
#else
            FILE *random = fopen("/dev/urandom", "rb");
            CHECK(random != NULL && fread(&seed, sizeof seed, 1, random) == 1);
            fclose(random);
#endif
        }
        seed |= 1;
        printf("LW_SEED=0x%llx\n", (unsigned long long)seed);
        fflush(stdout);
    }
    return seed;
}

double support_seconds(double seconds)
{
    const char *given = getenv("LW_SECONDS");
    return given != NULL ? strtod(given, NULL) : seconds;
}

int64_t support_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void support_sleep(int64_t ns)
{
    struct timespec wait;
    wait.tv_sec = (time_t)(ns / 1000000000);
    wait.tv_nsec = (long)(ns % 1000000000);
    nanosleep(&wait, NULL);
}

size_t support_resident(void)
{
#if defined(_WIN32)
    support_skip("how much memory is resident is asked of Linux alone");
#else
    unsigned long total, resident;
    FILE *statm = fopen("/proc/self/statm", "r");
    malloc_trim(0);
    CHECK(statm != NULL && fscanf(statm, "%lu %lu", &total, &resident) == 2);
    fclose(statm);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
#endif
}

bool support_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

support_random support_random_new(uint64_t seed, uint64_t stream)
{
    support_random random = {seed + stream * UINT64_C(0x9e3779b97f4a7c15)};
    return random;
}

/* splitmix64 (S. Vigna, public domain algorithm). */
uint64_t support_next(support_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t support_below(support_random *random, uint64_t n)
{
    return support_next(random) % n;
}

static __thread bool started;

bool support_started(void)
{
    return started;
}

void support_end(int *ending)
{
    if (started && __atomic_exchange_n(ending, 0, __ATOMIC_RELAXED) != 0) {
        pthread_exit(NULL);
    }
}

static void support_ended(void *thread)
{
    __atomic_store_n(&((support_thread *)thread)->ended, 1, __ATOMIC_RELEASE);
}

static void *support_entry(void *arg)
{
    support_thread *thread = (support_thread *)arg;
    started = true;
    pthread_cleanup_push(support_ended, thread);
    thread->fn(thread->arg);
    pthread_cleanup_pop(1);
    return NULL;
}

/* Whether this process is a child of support_fork. */
static bool forked;

void support_start(support_thread *thread, support_thread_fn fn, void *arg)
{
    if (forked && getenv("LW_NO_THREADS_IN_FORKS") != NULL) {
        support_skip("qemu-user ends a forked child that starts a thread");
    }
    thread->fn = fn;
    thread->arg = arg;
    thread->ended = 0;
    CHECK_EQ(pthread_create(&thread->id, NULL, support_entry, thread), 0);
}

void support_join(support_thread *thread)
{
    CHECK_EQ(pthread_join(thread->id, NULL), 0);
}

void support_run(int n, support_thread_fn fn, void *args, size_t size)
{
    support_thread *threads = (support_thread *)calloc((size_t)n, sizeof *threads);
    int i;
    CHECK(threads != NULL);
    for (i = 0; i < n; i++) {
        support_start(&threads[i], fn, (char *)args + (size_t)i * size);
    }
    for (i = 0; i < n; i++) {
        support_join(&threads[i]);
    }
    free(threads);
}

void support_reach(support_step *step, int value)
{
    pthread_mutex_lock(&step->mutex);
    step->value = value;
    pthread_cond_broadcast(&step->cond);
    pthread_mutex_unlock(&step->mutex);
}

void support_await(support_step *step, int value)
{
    pthread_mutex_lock(&step->mutex);
    while (step->value < value) {
        pthread_cond_wait(&step->cond, &step->mutex);
    }
    pthread_mutex_unlock(&step->mutex);
}

void support_keep_apart(int number)
{
#if defined(__linux__)
    cpu_set_t allowed, own;
    int processor, nth;
    CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    nth = number % CPU_COUNT(&allowed);
    for (processor = 0; processor < CPU_SETSIZE; processor++) {
        if (CPU_ISSET(processor, &allowed) && nth-- == 0) {
            CPU_ZERO(&own);
            CPU_SET(processor, &own);
            CHECK(pthread_setaffinity_np(pthread_self(), sizeof own, &own) == 0);
            return;
        }
    }
#else
    (void)number;
#endif
}

static int held_up, let_go;

static void stay_in_handler(int number)
{
    (void)number;
    __atomic_store_n(&held_up, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&let_go, __ATOMIC_ACQUIRE)) {
        support_sleep(100000); /* a handler may wait by nothing better */
    }
}

void support_hold_up(const support_thread *thread)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = stay_in_handler;
    __atomic_store_n(&held_up, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&let_go, 0, __ATOMIC_RELAXED);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(pthread_kill(thread->id, SIGUSR1), 0);
    while (!__atomic_load_n(&held_up, __ATOMIC_ACQUIRE)) {
        support_sleep(100000); /* a handler can only be polled for */
    }
}

void support_let_go(void)
{
    __atomic_store_n(&let_go, 1, __ATOMIC_RELEASE);
}

int support_fork(void (*fn)(void *arg), void *arg, char *output, size_t size)
{
    int pipes[2] = {-1, -1}, status = 0;
    pid_t child;
    fflush(NULL);
    if (output != NULL) {
        CHECK_EQ(pipe(pipes), 0);
    }
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        /* CTest's own limit would end the parent and leave a child that hangs. */
        const char *limit = getenv("LW_HUNG_CHILD");
        alarm(limit != NULL ? (unsigned)atoi(limit) : 20);
        forked = true;
        if (output != NULL) {
            dup2(pipes[1], 2);
        }
        fn(arg);
        fflush(NULL);
        _exit(0);
    }
    if (output != NULL) {
        size_t used = 0;
        ssize_t got;
        close(pipes[1]);
        while ((got = read(pipes[0], output + used, size - 1 - used)) > 0) {
            used += (size_t)got;
        }
        output[used] = '\0';
        close(pipes[0]);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SUPPORT_SKIPPED) {
        _exit(SUPPORT_SKIPPED); /* the child has said why */
    }
    return status;
}

void support_fork_ok(void (*fn)(void *arg), void *arg)
{
    int status = support_fork(fn, arg, NULL, 0);
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "the forked child ended by signal %d%s\n", WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? ": it hung" : "");
    }
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

typedef struct support_count {
    const void *address;
    size_t count;
} support_count;

static void support_visit(void *arg, const void *address, int64_t waited_ns)
{
    support_count *count = (support_count *)arg;
    CHECK(waited_ns >= 0);
    count->count += address == count->address;
}

size_t support_waiters(const void *address)
{
    support_count count = {address, 0};
    lw_park_report(support_visit, &count);
    return count.count;
}

uint32_t support_announced(const void *address)
{
    lw_atomic_u32 *flags = (lw_atomic_u32 *)lw_atomic_load_acquire_ptr(&lw_park_flags_);
    return lw_atomic_load_relaxed_u32(&flags[lw_park_index_(address)]) & ~(uint32_t)LW_PARK_FENCED_;
}

void support_await_waiters(const void *address, size_t count)
{
    while (support_waiters(address) != count) {
        support_sleep(200000);
    }
}

int64_t support_mark(void)
{
    int64_t now_ns = support_now();
    support_sleep(1000000); /* a look at all queues takes a tenth of that */
    return now_ns;
}

typedef struct support_newcomer {
    const void *addresses[2];
    int64_t now_ns, since_ns;
    bool found;
} support_newcomer;

static void support_visit_newcomer(void *arg, const void *address, int64_t waited_ns)
{
    support_newcomer *n = (support_newcomer *)arg;
    if ((address == n->addresses[0] || address == n->addresses[1]) &&
        n->now_ns - waited_ns >= n->since_ns) {
        n->found = true;
    }
}

void support_await_newcomer(const void *address, const void *other, int64_t since_ns,
                            const support_thread *thread)
{
    support_newcomer n = {{address, other}, 0, since_ns, false};
    for (;;) {
        n.now_ns = support_now(); /* before the report: who was there before is never found */
        lw_park_report(support_visit_newcomer, &n);
        if (n.found || __atomic_load_n(&thread->ended, __ATOMIC_ACQUIRE) != 0) {
            return;
        }
        support_sleep(200000); /* queues tell nobody who comes */
    }
}
