/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/event.h>

#include "heap.h"
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define MS INT64_C(1000000)

TEST(four_bytes_all_zero)
{
    lw_event_t zeroed, initialised = LW_EVENT_INIT, set;
    memset(&zeroed, 0, sizeof zeroed);
    memset(&set, 0xff, sizeof set);
    lw_event_init(&set);
    CHECK_EQ(sizeof zeroed, 4);
    CHECK_EQ(memcmp(&zeroed, &initialised, sizeof zeroed), 0);
    CHECK_EQ(memcmp(&zeroed, &set, sizeof zeroed), 0);
    CHECK(!lw_event_is_set(&zeroed));
}

TEST(set_reset_is_set)
{
    lw_event_t e = LW_EVENT_INIT;
    int i;
    for (i = 0; i < 3; i++) {
        lw_event_reset(&e);
        CHECK(!lw_event_is_set(&e));
        CHECK_EQ(lw_event_wait_for(&e, 0), LW_TIMEOUT);
        CHECK_EQ(lw_event_wait_for(&e, 1), LW_TIMEOUT);
        CHECK_EQ(lw_event_wait_for(&e, 2 * MS), LW_TIMEOUT);
        CHECK_EQ(lw_atomic_load_relaxed_u32(&e.word), 0);
        lw_event_set(&e);
        CHECK(lw_event_is_set(&e));
        lw_event_set(&e);
        CHECK(lw_event_is_set(&e));
        lw_event_wait(&e);
        CHECK_EQ(lw_event_wait_for(&e, 0), LW_OK);
        CHECK_EQ(lw_event_wait_for(&e, INT64_MAX), LW_OK);
        CHECK_EQ(lw_event_wait_flags(&e, -1, LW_WAIT_ATTACHED | LW_WAIT_INTERRUPTIBLE), LW_OK);
        CHECK(lw_event_is_set(&e));
        lw_event_reset(&e);
        lw_event_reset(&e);
    }
}

typedef struct waiter {
    lw_event_t *event;
    int64_t timeout_ns;
    unsigned flags;
    lw_status status;
    support_thread thread;
    int done;
} waiter;

static void wait_once(void *arg)
{
    waiter *w = (waiter *)arg;
    w->status = lw_event_wait_flags(w->event, w->timeout_ns, w->flags);
    __atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
}

static size_t waiters_of(const lw_event_t *e)
{
    return support_waiters(lw_park_beside_(e));
}

static void begin_waiter(waiter *w, lw_event_t *e, int64_t timeout_ns, unsigned flags)
{
    memset(w, 0, sizeof *w);
    w->event = e;
    w->timeout_ns = timeout_ns;
    w->flags = flags;
    support_start(&w->thread, wait_once, w);
}

/* Returns when it sleeps, or has given up already. */
static void start_waiter(waiter *w, lw_event_t *e, int64_t timeout_ns, unsigned flags)
{
    int64_t since_ns = support_mark();
    begin_waiter(w, e, timeout_ns, flags);
    support_await_newcomer(lw_park_beside_(e), NULL, since_ns, &w->thread);
}

enum { N = 6 };

TEST(set_wakes_all)
{
    lw_event_t e = LW_EVENT_INIT;
    waiter w[N];
    int i;
    for (i = 0; i < N; i++) {
        start_waiter(&w[i], &e, i % 2 == 0 ? -1 : INT64_MAX, LW_WAIT_DEFAULT);
    }
    CHECK_EQ(waiters_of(&e), N);
    lw_event_set(&e);
    for (i = 0; i < N; i++) {
        support_join(&w[i].thread);
        CHECK_EQ(w[i].status, LW_OK);
    }
    CHECK_EQ(lw_atomic_load_relaxed_u32(&e.word), LW_EVENT_SET_);
}

static int gate_closed = 1;

static void *gate_before(void)
{
    return &gate_closed;
}

static void gate_after(void *token)
{
    CHECK(token == &gate_closed);
    while (__atomic_load_n(&gate_closed, __ATOMIC_ACQUIRE) != 0) {
        support_sleep(200000);
    }
}

/* As threading.Event: who waits when it is set returns, even if it runs after a reset. */
TEST(set_and_reset_at_once_wakes_all)
{
    static const lw_block_hooks hooks = {gate_before, gate_after};
    lw_event_t e = LW_EVENT_INIT;
    waiter w[N];
    int i;
    lw_domain_set_block_hooks(&hooks);
    for (i = 0; i < N; i++) {
        start_waiter(&w[i], &e, -1, LW_WAIT_DEFAULT);
    }
    lw_event_set(&e);
    lw_event_reset(&e);
    __atomic_store_n(&gate_closed, 0, __ATOMIC_RELEASE);
    for (i = 0; i < N; i++) {
        support_join(&w[i].thread);
        CHECK_EQ(w[i].status, LW_OK);
    }
    CHECK_EQ(lw_atomic_load_relaxed_u32(&e.word), 0);
}

TEST(timed_out_waiters_leave_no_trace)
{
    lw_event_t e = LW_EVENT_INIT;
    waiter a, b, patient;
    start_waiter(&a, &e, 20 * MS, LW_WAIT_DEFAULT);
    start_waiter(&b, &e, 25 * MS, LW_WAIT_DEFAULT);
    support_join(&a.thread);
    support_join(&b.thread);
    CHECK_EQ(a.status, LW_TIMEOUT);
    CHECK_EQ(b.status, LW_TIMEOUT);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&e.word), 0);
    start_waiter(&patient, &e, -1, LW_WAIT_DEFAULT);
    start_waiter(&a, &e, 5 * MS, LW_WAIT_DEFAULT);
    support_join(&a.thread);
    CHECK_EQ(a.status, LW_TIMEOUT);
    CHECK_EQ(waiters_of(&e), 1);
    lw_event_set(&e);
    support_join(&patient.thread);
    CHECK_EQ(patient.status, LW_OK);
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
    lw_event_t other = LW_EVENT_INIT; /* none of the library's locks is held here */
    CHECK(token == &befores);
    CHECK_EQ(lw_event_wait_flags(&other, 1, LW_WAIT_ATTACHED), LW_TIMEOUT);
    __atomic_fetch_add(&afters, 1, __ATOMIC_RELAXED);
}

TEST(a_wait_detaches_unless_told_not_to)
{
    static const lw_block_hooks hooks = {hook_before, hook_after};
    lw_event_t e = LW_EVENT_INIT;
    waiter w;
    lw_domain_set_block_hooks(&hooks);
    start_waiter(&w, &e, 3 * MS, LW_WAIT_ATTACHED);
    support_join(&w.thread);
    CHECK_EQ(befores, 0);
    start_waiter(&w, &e, -1, LW_WAIT_DEFAULT);
    lw_event_set(&e);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
    CHECK_EQ(befores, 1);
    CHECK_EQ(afters, 1);
    lw_event_wait(&e); /* no wait, no hooks */
    CHECK_EQ(befores, 1);
}

static void hook_ends(void *token)
{
    CHECK(token == &befores);
    pthread_exit(NULL);
}

/* All are woken by one set: nobody needs to pass a wake on. */
TEST(who_ends_while_it_attaches_takes_nothing_along)
{
    static const lw_block_hooks hooks = {hook_before, hook_ends};
    lw_event_t e = LW_EVENT_INIT;
    waiter ends, stays;
    lw_domain_set_block_hooks(&hooks);
    start_waiter(&ends, &e, -1, LW_WAIT_DEFAULT);
    start_waiter(&stays, &e, -1, LW_WAIT_ATTACHED);
    lw_event_set(&e);
    support_join(&ends.thread);
    support_join(&stays.thread);
    CHECK_EQ(ends.done, 0);
    CHECK_EQ(stays.status, LW_OK);
    lw_event_reset(&e);
    begin_waiter(&ends, &e, 100 * MS, LW_WAIT_DEFAULT);
    support_join(&ends.thread);
    CHECK_EQ(ends.done, 0);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&e.word), 0);
}

static void on_signal(int number)
{
    (void)number;
}

TEST(signal_interrupts_who_asked_for_it)
{
    lw_event_t e = LW_EVENT_INIT;
    struct sigaction action;
    waiter w;
    int i;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    start_waiter(&w, &e, -1, LW_WAIT_INTERRUPTIBLE);
    for (i = 0; waiters_of(&e) != 0; i++) {
        CHECK(i < 5000);
        CHECK_EQ(pthread_kill(w.thread.id, SIGUSR1), 0);
        support_sleep(MS);
    }
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_INTERRUPTED);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&e.word), 0);
}

/* ---- Memory ---- */

enum { ROUNDS = 3000 };

static lw_event_t *handed; /* to the setter */

static void set_what_is_handed(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < ROUNDS; i++) {
        lw_event_t *e;
        while ((e = __atomic_exchange_n(&handed, NULL, __ATOMIC_ACQUIRE)) == NULL) {
            lw_cpu_relax();
        }
        if (i % 3 == 0) {
            support_sleep(1000); /* rather asleep by then */
        }
        lw_event_set(e);
    }
}

/* Allocated, so that AddressSanitizer sees who touches it late. */
TEST(the_waiter_may_free_it)
{
    support_thread setter;
    int i;
    support_start(&setter, set_what_is_handed, NULL);
    for (i = 0; i < ROUNDS; i++) {
        lw_event_t *e = (lw_event_t *)calloc(1, sizeof *e);
        CHECK(e != NULL);
        __atomic_store_n(&handed, e, __ATOMIC_RELEASE);
        lw_event_wait(e);
        free(e);
    }
    support_join(&setter);
}

/* The same place for the next event: a set of the last one must not end its wait. */
TEST(no_wake_from_the_event_before)
{
    support_thread setter;
    lw_event_t e;
    int i;
    support_start(&setter, set_what_is_handed, NULL);
    for (i = 0; i < ROUNDS; i++) {
        lw_event_init(&e);
        __atomic_store_n(&handed, &e, __ATOMIC_RELEASE);
        lw_event_wait(&e);
        lw_event_init(&e);
        CHECK_EQ(lw_event_wait_for(&e, 1000), LW_TIMEOUT);
    }
    support_join(&setter);
}

TEST(no_memory_is_needed)
{
    lw_event_t e = LW_EVENT_INIT;
    waiter w;
    heap_install();
    heap_fail_after(0);
    start_waiter(&w, &e, -1, LW_WAIT_DEFAULT);
    lw_event_set(&e);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
    CHECK_EQ(heap_calls(), 0);
}

/* ---- Fork: as it was; nobody waits ---- */

static void child_uses(void *arg)
{
    lw_event_t *e = (lw_event_t *)arg;
    waiter w;
    CHECK(!lw_event_is_set(e));
    CHECK_EQ(waiters_of(e), 0);
    CHECK_EQ(lw_event_wait_for(e, MS), LW_TIMEOUT);
    start_waiter(&w, e, -1, LW_WAIT_DEFAULT);
    lw_event_set(e);
    support_join(&w.thread);
    CHECK(lw_event_is_set(e));
}

static void child_sets(void *arg)
{
    lw_event_set((lw_event_t *)arg);
    CHECK(lw_event_is_set((lw_event_t *)arg));
}

TEST(forked_while_others_wait)
{
    lw_event_t e = LW_EVENT_INIT;
    waiter w;
    start_waiter(&w, &e, -1, LW_WAIT_DEFAULT);
    support_fork_ok(child_uses, &e);
    support_fork_ok(child_sets, &e);
    CHECK_EQ(waiters_of(&e), 1);
    lw_event_set(&e);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
}
