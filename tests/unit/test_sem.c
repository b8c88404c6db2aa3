/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/sem.h>

#include "heap.h"
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define MS INT64_C(1000000)

TEST(four_bytes_zero_is_value_zero)
{
    lw_sem_t zeroed, initialised = LW_SEM_INIT(3), set;
    memset(&zeroed, 0, sizeof zeroed);
    memset(&set, 0xff, sizeof set);
    CHECK_EQ(sizeof zeroed, 4);
    CHECK_EQ(lw_sem_value(&zeroed), 0);
    CHECK(!lw_sem_try_acquire(&zeroed));
    lw_sem_init(&set, 3);
    CHECK_EQ(memcmp(&set, &initialised, sizeof set), 0);
    lw_sem_init(&set, 0);
    CHECK_EQ(memcmp(&set, &zeroed, sizeof set), 0);
}

TEST(acquire_and_release)
{
    lw_sem_t s = LW_SEM_INIT(2);
    CHECK(lw_sem_try_acquire(&s));
    lw_sem_acquire(&s);
    CHECK_EQ(lw_sem_value(&s), 0);
    CHECK(!lw_sem_try_acquire(&s));
    CHECK_EQ(lw_sem_acquire_for(&s, 0), LW_TIMEOUT);
    CHECK_EQ(lw_sem_acquire_for(&s, 1), LW_TIMEOUT);
    CHECK_EQ(lw_sem_acquire_for(&s, 2 * MS), LW_TIMEOUT);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&s.word), 0);
    CHECK_EQ(lw_sem_release(&s, 0), LW_OK);
    CHECK_EQ(lw_sem_value(&s), 0);
    CHECK_EQ(lw_sem_release(&s, 3), LW_OK);
    CHECK_EQ(lw_sem_value(&s), 3);
    CHECK_EQ(lw_sem_acquire_for(&s, 0), LW_OK);
    CHECK_EQ(lw_sem_acquire_for(&s, INT64_MAX), LW_OK);
    CHECK_EQ(lw_sem_acquire_flags(&s, -1, LW_WAIT_ATTACHED | LW_WAIT_INTERRUPTIBLE), LW_OK);
    CHECK_EQ(lw_sem_value(&s), 0);
}

TEST(no_more_than_the_largest_value)
{
    lw_sem_t s = LW_SEM_INIT(1);
    CHECK_EQ(lw_sem_release(&s, LW_SEM_MAX), LW_INVALID);
    CHECK_EQ(lw_sem_release(&s, LW_SEM_MAX + 1), LW_INVALID);
    CHECK_EQ(lw_sem_release(&s, UINT32_MAX), LW_INVALID);
    CHECK_EQ(lw_sem_value(&s), 1);
    CHECK_EQ(lw_sem_release(&s, LW_SEM_MAX - 1), LW_OK);
    CHECK_EQ(lw_sem_value(&s), LW_SEM_MAX);
    CHECK_EQ(lw_sem_release(&s, 1), LW_INVALID);
    CHECK(lw_sem_try_acquire(&s));
    CHECK_EQ(lw_sem_release(&s, 1), LW_OK);
}

TEST(no_more_than_the_bound_given)
{
    lw_sem_t s = LW_SEM_INIT(2);
    CHECK_EQ(lw_sem_release_max(&s, 1, 2), LW_INVALID);
    CHECK_EQ(lw_sem_release_max(&s, 3, 2), LW_INVALID);
    CHECK_EQ(lw_sem_release_max(&s, 0, 1), LW_INVALID);
    CHECK(lw_sem_try_acquire(&s));
    CHECK_EQ(lw_sem_release_max(&s, 2, 2), LW_INVALID);
    CHECK_EQ(lw_sem_value(&s), 1);
    CHECK_EQ(lw_sem_release_max(&s, 1, 2), LW_OK);
    CHECK_EQ(lw_sem_release_max(&s, 1, UINT32_MAX), LW_OK);
    CHECK_EQ(lw_sem_value(&s), 3);
}

typedef struct waiter {
    lw_sem_t *sem;
    int64_t timeout_ns;
    unsigned flags;
    lw_status status;
    support_thread thread;
    int done;
} waiter;

static void acquire_once(void *arg)
{
    waiter *w = (waiter *)arg;
    w->status = lw_sem_acquire_flags(w->sem, w->timeout_ns, w->flags);
    __atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
}

static void begin_waiter(waiter *w, lw_sem_t *s, int64_t timeout_ns, unsigned flags)
{
    memset(w, 0, sizeof *w);
    w->sem = s;
    w->timeout_ns = timeout_ns;
    w->flags = flags;
    support_start(&w->thread, acquire_once, w);
}

/* Returns when it sleeps, or has given up already. */
static void start_waiter(waiter *w, lw_sem_t *s, int64_t timeout_ns, unsigned flags)
{
    int64_t since_ns = support_mark();
    begin_waiter(w, s, timeout_ns, flags);
    support_await_newcomer(s, NULL, since_ns, &w->thread);
}

static void join_acquirer(waiter *w)
{
    support_join(&w->thread);
    CHECK_EQ(w->status, LW_OK);
}

enum { N = 5 };

TEST(a_release_wakes_as_many_as_it_adds)
{
    lw_sem_t s = LW_SEM_INIT(0);
    waiter w[N];
    int i;
    for (i = 0; i < N; i++) {
        start_waiter(&w[i], &s, i % 2 == 0 ? -1 : INT64_MAX, LW_WAIT_DEFAULT);
    }
    CHECK_EQ(lw_sem_release(&s, 2), LW_OK); /* the first two that came */
    join_acquirer(&w[0]);
    join_acquirer(&w[1]);
    CHECK_EQ(support_waiters(&s), N - 2);
    CHECK_EQ(lw_sem_value(&s), 0);
    CHECK_EQ(lw_sem_release(&s, 1), LW_OK);
    join_acquirer(&w[2]);
    CHECK_EQ(support_waiters(&s), N - 3);
    CHECK_EQ(lw_sem_release(&s, N), LW_OK);
    join_acquirer(&w[3]);
    join_acquirer(&w[4]);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&s.word), 3 * LW_SEM_ONE_);
}

TEST(a_release_too_many_beside_waiters)
{
    lw_sem_t s = LW_SEM_INIT(0);
    waiter w;
    start_waiter(&w, &s, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_sem_release_max(&s, 3, 2), LW_INVALID);
    CHECK_EQ(lw_sem_release(&s, UINT32_MAX), LW_INVALID);
    CHECK_EQ(lw_sem_value(&s), 0);
    support_await_waiters(&s, 1); /* again */
    CHECK_EQ(w.done, 0);
    CHECK_EQ(lw_sem_release_max(&s, 2, 2), LW_OK);
    join_acquirer(&w);
    CHECK_EQ(lw_sem_value(&s), 1);
}

/* Who was overtaken keeps its place. */
static int gate_closed;

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

TEST(who_was_overtaken_keeps_its_place)
{
    static const lw_block_hooks hooks = {gate_before, gate_after};
    lw_sem_t s = LW_SEM_INIT(0);
    waiter first, second;
    lw_domain_set_block_hooks(&hooks);
    start_waiter(&first, &s, -1, LW_WAIT_DEFAULT);
    start_waiter(&second, &s, -1, LW_WAIT_ATTACHED);
    __atomic_store_n(&gate_closed, 1, __ATOMIC_RELEASE);
    CHECK_EQ(lw_sem_release(&s, 1), LW_OK);
    support_await_waiters(&s, 1); /* the first is on its way, and held up */
    CHECK(lw_sem_try_acquire(&s));
    __atomic_store_n(&gate_closed, 0, __ATOMIC_RELEASE);
    support_await_waiters(&s, 2);
    CHECK_EQ(lw_sem_release(&s, 1), LW_OK);
    while (!__atomic_load_n(&first.done, __ATOMIC_ACQUIRE)) {
        CHECK_EQ(__atomic_load_n(&second.done, __ATOMIC_ACQUIRE), 0);
        support_sleep(200000);
    }
    join_acquirer(&first);
    CHECK_EQ(__atomic_load_n(&second.done, __ATOMIC_ACQUIRE), 0);
    CHECK_EQ(lw_sem_release(&s, 1), LW_OK);
    join_acquirer(&second);
}

TEST(timed_out_waiters_leave_no_trace)
{
    lw_sem_t s = LW_SEM_INIT(0);
    waiter a, b;
    start_waiter(&a, &s, 20 * MS, LW_WAIT_DEFAULT);
    start_waiter(&b, &s, 25 * MS, LW_WAIT_DEFAULT);
    support_join(&a.thread);
    support_join(&b.thread);
    CHECK_EQ(a.status, LW_TIMEOUT);
    CHECK_EQ(b.status, LW_TIMEOUT);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&s.word), 0);
    start_waiter(&a, &s, -1, LW_WAIT_DEFAULT);
    start_waiter(&b, &s, 5 * MS, LW_WAIT_DEFAULT);
    support_join(&b.thread);
    CHECK_EQ(b.status, LW_TIMEOUT);
    CHECK_EQ(lw_sem_release(&s, 1), LW_OK);
    join_acquirer(&a);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&s.word), 0);
}

static void inits_too_large(void *arg)
{
    lw_sem_init((lw_sem_t *)arg, LW_SEM_MAX + 1);
}

TEST(misuse_ends_the_process)
{
    lw_sem_t s;
    char output[512];
    int status = support_fork(inits_too_large, &s, output, sizeof output);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    CHECK(strstr(output, "lw_sem_init") != NULL);
}

/* ---- Hooks and signals ---- */

static int befores, afters, ending;

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
    lw_sem_t s = LW_SEM_INIT(0);
    waiter w;
    lw_domain_set_block_hooks(&hooks);
    start_waiter(&w, &s, 3 * MS, LW_WAIT_ATTACHED);
    support_join(&w.thread);
    CHECK_EQ(befores, 0);
    start_waiter(&w, &s, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_sem_release(&s, 1), LW_OK);
    join_acquirer(&w);
    CHECK_EQ(befores, 1);
    CHECK_EQ(afters, 1);
}

static void hook_ends(void *token)
{
    CHECK(token == &befores);
    support_end(&ending);
}

/* The first of two sleepers is woken, and never returns: the other gets what was released. */
TEST(who_ends_while_it_attaches_passes_the_wake_on)
{
    static const lw_block_hooks hooks = {hook_before, hook_ends};
    lw_sem_t s = LW_SEM_INIT(0);
    waiter first, second;
    int i;
    lw_domain_set_block_hooks(&hooks);
    start_waiter(&first, &s, -1, LW_WAIT_DEFAULT);
    start_waiter(&second, &s, -1, LW_WAIT_DEFAULT);
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    CHECK_EQ(lw_sem_release(&s, 1), LW_OK);
    support_join(&first.thread);
    for (i = 0; !__atomic_load_n(&second.done, __ATOMIC_ACQUIRE); i++) {
        CHECK(i < 10000); /* a lost wake is a failure, and no hang */
        support_sleep(MS);
    }
    join_acquirer(&second);
    CHECK_EQ(first.done, 0);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&s.word), 0);
    /* Alone, it leaves what was released for who comes next; after a time-out, nothing. */
    start_waiter(&first, &s, -1, LW_WAIT_DEFAULT);
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    CHECK_EQ(lw_sem_release(&s, 1), LW_OK);
    support_join(&first.thread);
    CHECK_EQ(first.done, 0);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&s.word), LW_SEM_ONE_);
    CHECK(lw_sem_try_acquire(&s));
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    begin_waiter(&first, &s, 100 * MS, LW_WAIT_DEFAULT);
    support_join(&first.thread);
    CHECK_EQ(first.done, 0);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&s.word), 0);
}

static void on_signal(int number)
{
    (void)number;
}

TEST(signal_interrupts_who_asked_for_it)
{
    lw_sem_t s = LW_SEM_INIT(0);
    struct sigaction action;
    waiter w;
    int i;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    start_waiter(&w, &s, -1, LW_WAIT_INTERRUPTIBLE);
    for (i = 0; support_waiters(&s) != 0; i++) {
        CHECK(i < 5000);
        CHECK_EQ(pthread_kill(w.thread.id, SIGUSR1), 0);
        support_sleep(MS);
    }
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_INTERRUPTED);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&s.word), 0);
}

/* ---- Exclusion and memory ---- */

enum { THREADS = 4, ROUNDS = 5000 };

static lw_sem_t counter_sem = LW_SEM_INIT(1);
static uint64_t counter;

static void count_up(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < ROUNDS; i++) {
        if (i % 2 == 0) {
            while (lw_sem_acquire_for(&counter_sem, 50000) != LW_OK) {
            }
        } else {
            lw_sem_acquire(&counter_sem);
        }
        counter++;
        CHECK_EQ(lw_sem_release_max(&counter_sem, 1, 1), LW_OK);
    }
}

TEST(of_value_one_it_excludes)
{
    char unused[THREADS] = {0};
    support_run(THREADS, count_up, unused, 1);
    CHECK_EQ(counter, THREADS * ROUNDS);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&counter_sem.word), LW_SEM_ONE_);
}

static lw_sem_t *handed;

static void release_what_is_handed(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < ROUNDS; i++) {
        lw_sem_t *s;
        while ((s = __atomic_exchange_n(&handed, NULL, __ATOMIC_ACQUIRE)) == NULL) {
            lw_cpu_relax();
        }
        if (i % 3 == 0) {
            support_sleep(1000); /* rather asleep by then */
        }
        CHECK_EQ(lw_sem_release(s, 1), LW_OK);
    }
}

TEST(who_acquires_may_free_it)
{
    support_thread releaser;
    int i;
    support_start(&releaser, release_what_is_handed, NULL);
    for (i = 0; i < ROUNDS; i++) {
        lw_sem_t *s = (lw_sem_t *)calloc(1, sizeof *s);
        CHECK(s != NULL);
        __atomic_store_n(&handed, s, __ATOMIC_RELEASE);
        lw_sem_acquire(s);
        free(s);
    }
    support_join(&releaser);
}

TEST(no_memory_is_needed)
{
    lw_sem_t s = LW_SEM_INIT(0);
    waiter w;
    heap_install();
    heap_fail_after(0);
    start_waiter(&w, &s, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_sem_release(&s, 1), LW_OK);
    join_acquirer(&w);
    CHECK_EQ(heap_calls(), 0);
}

/* ---- Fork: what the parent's threads hold does not come back ---- */

static void child_uses(void *arg)
{
    lw_sem_t *s = (lw_sem_t *)arg;
    waiter w;
    CHECK_EQ(lw_sem_value(s), 0);
    CHECK_EQ(support_waiters(s), 0);
    CHECK_EQ(lw_sem_acquire_for(s, MS), LW_TIMEOUT);
    CHECK_EQ(lw_sem_release(s, 1), LW_OK);
    CHECK(lw_sem_try_acquire(s));
    start_waiter(&w, s, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_sem_release(s, 1), LW_OK);
    join_acquirer(&w);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&s->word), 0);
}

static void child_releases(void *arg)
{
    lw_sem_t *s = (lw_sem_t *)arg;
    CHECK_EQ(lw_sem_release(s, 1), LW_OK);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&s->word), LW_SEM_ONE_);
}

TEST(forked_while_others_wait)
{
    lw_sem_t s = LW_SEM_INIT(0);
    waiter w;
    start_waiter(&w, &s, -1, LW_WAIT_DEFAULT);
    support_fork_ok(child_uses, &s);
    support_fork_ok(child_releases, &s);
    CHECK_EQ(support_waiters(&s), 1);
    CHECK_EQ(lw_sem_release(&s, 1), LW_OK);
    join_acquirer(&w);
}
