/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/latch.h>

#include "heap.h"
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define MS INT64_C(1000000)

TEST(four_bytes_zero_is_open)
{
    lw_latch_t zeroed, initialised = LW_LATCH_INIT(3), set;
    memset(&zeroed, 0, sizeof zeroed);
    memset(&set, 0xff, sizeof set);
    CHECK_EQ(sizeof zeroed, 4);
    CHECK(lw_latch_try_wait(&zeroed));
    lw_latch_wait(&zeroed);
    CHECK_EQ(lw_latch_wait_for(&zeroed, 0), LW_OK);
    lw_latch_init(&set, 3);
    CHECK_EQ(memcmp(&set, &initialised, sizeof set), 0);
    lw_latch_init(&set, 0);
    CHECK_EQ(memcmp(&set, &zeroed, sizeof set), 0);
}

TEST(counts_down)
{
    lw_latch_t l;
    lw_latch_init(&l, LW_LATCH_MAX);
    CHECK_EQ(lw_latch_count(&l), LW_LATCH_MAX);
    lw_latch_count_down(&l, LW_LATCH_MAX - 3);
    CHECK_EQ(lw_latch_count(&l), 3);
    lw_latch_count_down(&l, 0);
    lw_latch_count_down(&l, 1);
    CHECK_EQ(lw_latch_count(&l), 2);
    CHECK(!lw_latch_try_wait(&l));
    CHECK_EQ(lw_latch_wait_for(&l, 0), LW_TIMEOUT);
    CHECK_EQ(lw_latch_wait_for(&l, 2 * MS), LW_TIMEOUT);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&l.word), 2 * LW_LATCH_ONE_);
    lw_latch_count_down(&l, 2);
    CHECK(lw_latch_try_wait(&l));
    lw_latch_count_down(&l, 0);
    lw_latch_wait(&l);
    CHECK_EQ(lw_latch_wait_flags(&l, -1, LW_WAIT_ATTACHED | LW_WAIT_INTERRUPTIBLE), LW_OK);
}

typedef struct waiter {
    lw_latch_t *latch;
    int64_t timeout_ns;
    unsigned flags;
    bool arrives;
    lw_status status;
    support_thread thread;
    int done;
} waiter;

static void wait_once(void *arg)
{
    waiter *w = (waiter *)arg;
    w->status = w->arrives ? lw_latch_arrive_and_wait_flags(w->latch, w->timeout_ns, w->flags)
                           : lw_latch_wait_flags(w->latch, w->timeout_ns, w->flags);
    __atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
}

static size_t waiters_of(const lw_latch_t *l)
{
    return support_waiters(lw_park_beside_(l));
}

static void begin_waiter(waiter *w, lw_latch_t *l, int64_t timeout_ns, unsigned flags, bool arrives)
{
    memset(w, 0, sizeof *w);
    w->latch = l;
    w->timeout_ns = timeout_ns;
    w->flags = flags;
    w->arrives = arrives;
    support_start(&w->thread, wait_once, w);
}

/* Returns when it sleeps, or has given up already. */
static void start_waiter(waiter *w, lw_latch_t *l, int64_t timeout_ns, unsigned flags, bool arrives)
{
    int64_t since_ns = support_mark();
    begin_waiter(w, l, timeout_ns, flags, arrives);
    support_await_newcomer(lw_park_beside_(l), NULL, since_ns, &w->thread);
}

enum { N = 5 };

TEST(opening_wakes_all)
{
    lw_latch_t l = LW_LATCH_INIT(N);
    waiter w[N];
    int i;
    for (i = 0; i < N; i++) {
        start_waiter(&w[i], &l, i == 0 ? INT64_MAX : -1, LW_WAIT_DEFAULT, i % 2 == 0);
    }
    CHECK_EQ(lw_latch_count(&l), 2);
    lw_latch_count_down(&l, 1);
    CHECK_EQ(waiters_of(&l), N);
    lw_latch_count_down(&l, 1);
    for (i = 0; i < N; i++) {
        support_join(&w[i].thread);
        CHECK_EQ(w[i].status, LW_OK);
    }
    CHECK_EQ(lw_atomic_load_relaxed_u32(&l.word), 0);
}

TEST(the_last_to_arrive_does_not_sleep)
{
    lw_latch_t l = LW_LATCH_INIT(1);
    waiter w;
    lw_latch_arrive_and_wait(&l);
    CHECK(lw_latch_try_wait(&l));
    lw_latch_init(&l, 2);
    start_waiter(&w, &l, -1, LW_WAIT_DEFAULT, true);
    lw_latch_arrive_and_wait(&l);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
    lw_latch_init(&l, 1);
    CHECK_EQ(lw_latch_arrive_and_wait_flags(&l, 0, LW_WAIT_DEFAULT), LW_OK);
}

TEST(who_times_out_has_arrived)
{
    lw_latch_t l = LW_LATCH_INIT(3);
    CHECK_EQ(lw_latch_arrive_and_wait_flags(&l, 2 * MS, LW_WAIT_DEFAULT), LW_TIMEOUT);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&l.word), 2 * LW_LATCH_ONE_);
    CHECK_EQ(lw_latch_arrive_and_wait_flags(&l, 0, LW_WAIT_DEFAULT), LW_TIMEOUT);
    CHECK_EQ(lw_latch_count(&l), 1);
    CHECK_EQ(lw_latch_wait_for(&l, MS), LW_TIMEOUT);
    lw_latch_count_down(&l, 1);
    CHECK_EQ(lw_latch_wait_for(&l, 0), LW_OK);
}

TEST(timed_out_waiters_leave_no_trace)
{
    lw_latch_t l = LW_LATCH_INIT(1);
    waiter a, b;
    start_waiter(&a, &l, -1, LW_WAIT_DEFAULT, false);
    start_waiter(&b, &l, 5 * MS, LW_WAIT_DEFAULT, false);
    support_join(&b.thread);
    CHECK_EQ(b.status, LW_TIMEOUT);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&l.word), LW_LATCH_ONE_ | LW_LATCH_WAITED_);
    lw_latch_count_down(&l, 1);
    support_join(&a.thread);
    CHECK_EQ(a.status, LW_OK);
}

/* ---- Misuse ---- */

static void one_too_many(void *arg)
{
    lw_latch_count_down((lw_latch_t *)arg, 3);
}

static void arrives_when_open(void *arg)
{
    (void)arg;
    lw_latch_t l = LW_LATCH_INIT(0);
    lw_latch_arrive_and_wait(&l);
}

static void inits_too_large(void *arg)
{
    lw_latch_init((lw_latch_t *)arg, LW_LATCH_MAX + 1);
}

static void expect_abort(void (*fn)(void *arg), void *arg, const char *function, const char *what)
{
    char output[512];
    int status = support_fork(fn, arg, output, sizeof output);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    CHECK(strstr(output, function) != NULL);
    CHECK(strstr(output, what) != NULL);
}

TEST(misuse_ends_the_process)
{
    lw_latch_t l = LW_LATCH_INIT(2);
    waiter w;
    expect_abort(one_too_many, &l, "lw_latch_count_down", "below zero");
    expect_abort(arrives_when_open, NULL, "lw_latch_count_down", "below zero");
    expect_abort(inits_too_large, &l, "lw_latch_init", "LW_LATCH_MAX");
    start_waiter(&w, &l, -1, LW_WAIT_DEFAULT, false);
    expect_abort(one_too_many, &l, "lw_latch_count_down", "below zero");
    lw_latch_count_down(&l, 2);
    support_join(&w.thread);
}

/* ---- Hooks and signals ---- */

static int befores, afters;

static void *hook_before(void)
{
    __atomic_fetch_add(&befores, 1, __ATOMIC_RELAXED);
    return &befores;
}

static void hook_after(void *token)
{
    CHECK(token == &befores);
    __atomic_fetch_add(&afters, 1, __ATOMIC_RELAXED);
}

TEST(a_wait_detaches_unless_told_not_to)
{
    static const lw_block_hooks hooks = {hook_before, hook_after};
    lw_latch_t l = LW_LATCH_INIT(2);
    waiter w;
    lw_domain_set_block_hooks(&hooks);
    start_waiter(&w, &l, 3 * MS, LW_WAIT_ATTACHED, false);
    support_join(&w.thread);
    CHECK_EQ(befores, 0);
    start_waiter(&w, &l, -1, LW_WAIT_DEFAULT, true);
    lw_latch_count_down(&l, 1);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
    CHECK_EQ(befores, 1);
    CHECK_EQ(afters, 1);
}

static void hook_ends(void *token)
{
    CHECK(token == &befores);
    pthread_exit(NULL);
}

TEST(who_ends_while_it_attaches_has_arrived)
{
    static const lw_block_hooks hooks = {hook_before, hook_ends};
    lw_latch_t l = LW_LATCH_INIT(2);
    waiter ends, stays;
    lw_domain_set_block_hooks(&hooks);
    begin_waiter(&ends, &l, 100 * MS, LW_WAIT_DEFAULT, true);
    support_join(&ends.thread);
    CHECK_EQ(ends.done, 0);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&l.word), LW_LATCH_ONE_);
    start_waiter(&ends, &l, -1, LW_WAIT_DEFAULT, false);
    start_waiter(&stays, &l, -1, LW_WAIT_ATTACHED, false);
    lw_latch_count_down(&l, 1);
    support_join(&ends.thread);
    support_join(&stays.thread);
    CHECK_EQ(ends.done, 0);
    CHECK_EQ(stays.status, LW_OK);
}

static void on_signal(int number)
{
    (void)number;
}

TEST(signal_interrupts_who_asked_for_it)
{
    lw_latch_t l = LW_LATCH_INIT(2);
    struct sigaction action;
    waiter w;
    int i;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    start_waiter(&w, &l, -1, LW_WAIT_INTERRUPTIBLE, true);
    for (i = 0; waiters_of(&l) != 0; i++) {
        CHECK(i < 5000);
        CHECK_EQ(pthread_kill(w.thread.id, SIGUSR1), 0);
        support_sleep(MS);
    }
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_INTERRUPTED);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&l.word), LW_LATCH_ONE_);
}

/* ---- Memory ---- */

enum { TEAM = 4, LATCHES = 1500 };
static lw_latch_t *latches[LATCHES];

static void arrive_and_free(void *arg)
{
    int me = *(const int *)arg, i;
    for (i = 0; i < LATCHES; i++) {
        lw_latch_t *l = latches[i];
        if (i % 3 == me) {
            support_sleep(1000);
        }
        lw_latch_arrive_and_wait(l);
        if (i % TEAM == me) {
            free(l); /* while the others may be on their way out of it */
        }
    }
}

TEST(who_is_let_go_may_free_it)
{
    int numbers[TEAM] = {0, 1, 2, 3}, i;
    for (i = 0; i < LATCHES; i++) {
        latches[i] = (lw_latch_t *)calloc(1, sizeof *latches[i]);
        CHECK(latches[i] != NULL);
        lw_latch_init(latches[i], TEAM);
    }
    support_run(TEAM, arrive_and_free, numbers, sizeof numbers[0]);
}

static lw_latch_t *handed;

static void count_what_is_handed(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < LATCHES; i++) {
        lw_latch_t *l;
        while ((l = __atomic_exchange_n(&handed, NULL, __ATOMIC_ACQUIRE)) == NULL) {
            lw_cpu_relax();
        }
        if (i % 3 == 0) {
            support_sleep(1000);
        }
        lw_latch_count_down(l, 1);
    }
}

/* A latch in the waiter's frame, and another in its place. */
TEST(no_wake_from_the_latch_before)
{
    support_thread counter;
    lw_latch_t l;
    int i;
    support_start(&counter, count_what_is_handed, NULL);
    for (i = 0; i < LATCHES; i++) {
        lw_latch_init(&l, 1);
        __atomic_store_n(&handed, &l, __ATOMIC_RELEASE);
        lw_latch_wait(&l);
        lw_latch_init(&l, 1);
        CHECK_EQ(lw_latch_wait_for(&l, 1000), LW_TIMEOUT);
    }
    support_join(&counter);
}

TEST(no_memory_is_needed)
{
    lw_latch_t l = LW_LATCH_INIT(1);
    waiter w;
    heap_install();
    heap_fail_after(0);
    start_waiter(&w, &l, -1, LW_WAIT_DEFAULT, false);
    lw_latch_count_down(&l, 1);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
    CHECK_EQ(heap_calls(), 0);
}

/* ---- Fork: what others have not counted down, they never will ---- */

static void child_counts(void *arg)
{
    lw_latch_t *l = (lw_latch_t *)arg;
    waiter w;
    CHECK_EQ(lw_latch_count(l), 2);
    CHECK_EQ(waiters_of(l), 0);
    CHECK_EQ(lw_latch_wait_for(l, MS), LW_TIMEOUT);
    start_waiter(&w, l, -1, LW_WAIT_DEFAULT, true);
    lw_latch_count_down(l, 1);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
    CHECK(lw_latch_try_wait(l));
}

TEST(forked_while_others_wait)
{
    lw_latch_t l = LW_LATCH_INIT(3);
    waiter w;
    start_waiter(&w, &l, -1, LW_WAIT_DEFAULT, true);
    support_fork_ok(child_counts, &l);
    CHECK_EQ(waiters_of(&l), 1);
    lw_latch_count_down(&l, 2);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
}
