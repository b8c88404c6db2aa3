/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_tryjoin_np */
#endif
#include <latchwork/biased_mutex.h>

#include "heap.h"
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

enum { AFTER = 64, MOST = AFTER << 6 };

static uintptr_t state_of(const lw_biased_mutex_t *m)
{
    return (uintptr_t)lw_atomic_load_relaxed_ptr(&m->word) & LW_BIASED_STATE_;
}

static lw_thread *thread_of(const lw_biased_mutex_t *m)
{
    return (lw_thread *)((uintptr_t)lw_atomic_load_relaxed_ptr(&m->word) & ~LW_BIASED_STATE_);
}

static bool is_free(const lw_biased_mutex_t *m)
{
    return lw_atomic_load_relaxed_ptr(&m->word) == NULL || state_of(m) == LW_BIASED_FREE_;
}

static bool is_biased_to(const lw_biased_mutex_t *m, const lw_thread *thread)
{
    return state_of(m) == LW_BIASED_TO_ && thread_of(m) == thread && thread != NULL;
}

static bool has_membarrier(void)
{
    return lw_thread_self()->smr_strong == 0;
}

/* Locks and unlocks it until it is biased to the calling thread; returns how often. */
static int earn_bias(lw_biased_mutex_t *m)
{
    int i;
    for (i = 0; i < MOST && !is_biased_to(m, lw_thread_self()); i++) {
        lw_biased_mutex_lock(m);
        lw_biased_mutex_unlock(m);
    }
    CHECK_EQ(is_biased_to(m, lw_thread_self()), has_membarrier());
    return i;
}

static size_t waiters_of(const lw_biased_mutex_t *m)
{
    return support_waiters(m) + support_waiters(lw_biased_mutex_exit_(m));
}

static void check_quiet(const lw_biased_mutex_t *m)
{
    CHECK(!lw_biased_mutex_is_locked(m));
    CHECK_EQ(waiters_of(m), 0);
    CHECK_EQ(support_announced(m), 0);
    CHECK_EQ(lw_biased_mutex_awaited_(), 0);
}

TEST(all_zero_is_unlocked)
{
    lw_biased_mutex_t zeroed, initialised = LW_BIASED_MUTEX_INIT, set;
    memset(&zeroed, 0, sizeof zeroed);
    memset(&set, 0xff, sizeof set);
    lw_biased_mutex_init(&set);
    CHECK_EQ(sizeof zeroed, 16);
    CHECK_EQ(memcmp(&zeroed, &initialised, sizeof zeroed), 0);
    CHECK_EQ(memcmp(&zeroed, &set, sizeof zeroed), 0);
    CHECK(!lw_biased_mutex_is_locked(&zeroed));
    lw_biased_mutex_lock(&zeroed);
    CHECK(lw_biased_mutex_is_locked(&zeroed));
    lw_biased_mutex_unlock(&zeroed);
    CHECK(!lw_biased_mutex_is_locked(&zeroed));
}

/* Without the bias at first, and with it then. */
TEST(lock_trylock_unlock)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    int i;
    for (i = 0; i < 2 * AFTER; i++) {
        CHECK(lw_biased_mutex_trylock(&m));
        CHECK(lw_biased_mutex_is_locked(&m));
        CHECK(!lw_biased_mutex_trylock(&m));
        lw_biased_mutex_unlock(&m);
        CHECK(!lw_biased_mutex_is_locked(&m));
        lw_biased_mutex_lock(&m);
        CHECK(lw_biased_mutex_is_locked(&m));
        CHECK(!lw_biased_mutex_trylock(&m));
        lw_biased_mutex_unlock(&m);
    }
    CHECK_EQ(is_biased_to(&m, lw_thread_self()), has_membarrier());
}

static void lock_for_in_this_state(lw_biased_mutex_t *m)
{
    CHECK_EQ(lw_biased_mutex_lock_for(m, 0), LW_OK);
    CHECK_EQ(lw_biased_mutex_lock_for(m, 0), LW_TIMEOUT);
    CHECK_EQ(lw_biased_mutex_lock_for(m, 1), LW_TIMEOUT);
    CHECK_EQ(lw_biased_mutex_lock_for(m, 2 * MS), LW_TIMEOUT);
    CHECK_EQ(lw_biased_mutex_lock_flags(m, 0, LW_WAIT_ATTACHED), LW_TIMEOUT);
    CHECK(lw_biased_mutex_is_locked(m));
    lw_biased_mutex_unlock(m);
    CHECK_EQ(lw_biased_mutex_lock_for(m, -1), LW_OK);
    lw_biased_mutex_unlock(m);
    CHECK_EQ(lw_biased_mutex_lock_for(m, INT64_MAX), LW_OK);
    lw_biased_mutex_unlock(m);
    CHECK_EQ(lw_biased_mutex_lock_flags(m, 0, LW_WAIT_INTERRUPTIBLE), LW_OK);
    lw_biased_mutex_unlock(m);
    check_quiet(m);
}

TEST(lock_for)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    lock_for_in_this_state(&m);
    CHECK(is_free(&m));
    (void)earn_bias(&m);
    lock_for_in_this_state(&m);
    CHECK_EQ(is_biased_to(&m, lw_thread_self()), has_membarrier());
}

/* ---- Who gets the bias ---- */

static void lock_and_unlock(void *arg)
{
    lw_biased_mutex_t *m = (lw_biased_mutex_t *)arg;
    lw_biased_mutex_lock(m);
    lw_biased_mutex_unlock(m);
}

static void try_and_unlock(void *arg)
{
    lw_biased_mutex_t *m = (lw_biased_mutex_t *)arg;
    CHECK(lw_biased_mutex_trylock(m));
    lw_biased_mutex_unlock(m);
}

TEST(bias_goes_to_who_locks_it_often_in_a_row)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    int expected = AFTER, i;
    if (!has_membarrier()) {
        CHECK_EQ(earn_bias(&m), MOST); /* never */
        return;
    }
    for (i = 0; i < AFTER - 1; i++) {
        lock_and_unlock(&m);
    }
    support_run(1, lock_and_unlock, &m, 1); /* begins anew */
    CHECK(is_free(&m));
    for (i = 0; i < 9; i++) {
        CHECK_EQ(earn_bias(&m), expected);
        lw_biased_mutex_lock(&m);
        CHECK(is_biased_to(&m, lw_thread_self())); /* nothing of the mutex is written */
        lw_biased_mutex_unlock(&m);
        support_run(1, i % 2 == 0 ? lock_and_unlock : try_and_unlock, &m, 1);
        CHECK(is_free(&m));
        expected = expected < MOST ? 2 * expected : MOST;
    }
    check_quiet(&m);
}

static support_step steps = SUPPORT_STEP_INIT;

static void earn_and_hold(void *arg)
{
    lw_biased_mutex_t *m = (lw_biased_mutex_t *)arg;
    (void)earn_bias(m);
    lw_biased_mutex_lock(m);
    support_reach(&steps, 1);
    support_await(&steps, 2);
    lw_biased_mutex_unlock(m);
}

static void hold(void *arg)
{
    lw_biased_mutex_t *m = (lw_biased_mutex_t *)arg;
    lw_biased_mutex_lock(m);
    support_reach(&steps, 1);
    support_await(&steps, 2);
    lw_biased_mutex_unlock(m);
}

/* The thread that has the bias looks at the word; the bias is taken away; it goes on. */
TEST(bias_that_is_lost_on_the_way_in)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    lw_thread *self = lw_thread_self();
    support_thread other;
    (void)earn_bias(&m);
    support_start(&other, hold, &m);
    support_await(&steps, 1);
    CHECK(!lw_biased_mutex_enter_by_(&m, self));
    CHECK(lw_atomic_load_relaxed_ptr(lw_biased_mutex_slot_(self, &m)) == NULL);
    CHECK(lw_biased_mutex_is_locked(&m));
    CHECK(!lw_biased_mutex_trylock(&m));
    support_reach(&steps, 2);
    support_join(&other);
    check_quiet(&m);
}

/* ---- Waits ---- */

typedef struct locker {
    lw_biased_mutex_t *mutex;
    int64_t timeout_ns;
    unsigned flags;
    lw_status status;
    support_thread thread;
    int *entered;
    int done;
} locker;

static void lock_once(void *arg)
{
    locker *l = (locker *)arg;
    l->status = lw_biased_mutex_lock_flags(l->mutex, l->timeout_ns, l->flags);
    if (l->status == LW_OK) {
        ++*l->entered;
        lw_biased_mutex_unlock(l->mutex);
    }
    __atomic_store_n(&l->done, 1, __ATOMIC_RELEASE);
}

static int entered;

/* Returns when it sleeps, or has given up already. */
static void start_locker(locker *l, lw_biased_mutex_t *m, int64_t timeout_ns, unsigned flags)
{
    int64_t since_ns = support_mark();
    memset(l, 0, sizeof *l);
    l->mutex = m;
    l->timeout_ns = timeout_ns;
    l->flags = flags;
    l->entered = &entered;
    support_start(&l->thread, lock_once, l);
    support_await_newcomer(m, lw_biased_mutex_exit_(m), since_ns, &l->thread);
}

/* Another is inside by its bias: to try takes nothing away, with a time limit the bias is given
 * back, without one it is waited for. */
TEST(bias_of_who_is_inside)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    support_thread owner;
    locker other;
    void *word;
    support_start(&owner, earn_and_hold, &m);
    support_await(&steps, 1);
    word = lw_atomic_load_relaxed_ptr(&m.word);
    CHECK(lw_biased_mutex_is_locked(&m));
    CHECK(!lw_biased_mutex_trylock(&m));
    CHECK_EQ(m.revoked, 0);
    CHECK_EQ(lw_biased_mutex_lock_for(&m, 1), LW_TIMEOUT);
    CHECK_EQ(lw_biased_mutex_lock_for(&m, 5 * MS), LW_TIMEOUT);
    CHECK(lw_atomic_load_relaxed_ptr(&m.word) == word);
    CHECK(lw_biased_mutex_is_locked(&m));
    CHECK(!lw_biased_mutex_trylock(&m));
    start_locker(&other, &m, -1, LW_WAIT_DEFAULT);
    support_reach(&steps, 2); /* it unlocks while its bias is being taken away */
    support_join(&owner);
    support_join(&other.thread);
    CHECK_EQ(other.status, LW_OK);
    lw_biased_mutex_lock(&m);
    CHECK_EQ(state_of(&m), LW_BIASED_LOCKED_);
    lw_biased_mutex_unlock(&m);
    CHECK(is_free(&m));
    check_quiet(&m);
}

/* The first waits for who is inside, the others for it. */
TEST(waiters_get_it_one_after_the_other)
{
    enum { N = 8 };
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    locker lockers[N];
    int biased, i;
    for (biased = 0; biased < 2; biased++) {
        if (biased) {
            (void)earn_bias(&m);
        }
        entered = 0;
        lw_biased_mutex_lock(&m);
        for (i = 0; i < N; i++) {
            start_locker(&lockers[i], &m, i % 2 == 0 ? -1 : INT64_MAX, LW_WAIT_DEFAULT);
        }
        CHECK_EQ(entered, 0);
        CHECK_EQ(support_waiters(lw_biased_mutex_exit_(&m)), biased && has_membarrier());
        lw_biased_mutex_unlock(&m);
        for (i = 0; i < N; i++) {
            support_join(&lockers[i].thread);
            CHECK_EQ(lockers[i].status, LW_OK);
        }
        CHECK_EQ(entered, N);
        CHECK(is_free(&m));
        check_quiet(&m);
    }
}

TEST(timed_out_waiters_leave_no_trace)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    locker a, b;
    int biased;
    for (biased = 0; biased < 2; biased++) {
        if (biased) {
            (void)earn_bias(&m);
        }
        lw_biased_mutex_lock(&m);
        start_locker(&a, &m, 20 * MS, LW_WAIT_DEFAULT);
        start_locker(&b, &m, 25 * MS, LW_WAIT_DEFAULT);
        support_join(&a.thread);
        support_join(&b.thread);
        CHECK_EQ(a.status, LW_TIMEOUT);
        CHECK_EQ(b.status, LW_TIMEOUT);
        CHECK_EQ(entered, 0);
        CHECK(lw_biased_mutex_is_locked(&m));
        lw_biased_mutex_unlock(&m);
        check_quiet(&m);
        CHECK(lw_biased_mutex_trylock(&m));
        lw_biased_mutex_unlock(&m);
    }
}

/* What the one that gives up has claimed is claimed by the next. */
TEST(one_times_out_and_the_other_gets_it)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    locker patient, hasty;
    (void)earn_bias(&m);
    lw_biased_mutex_lock(&m);
    start_locker(&hasty, &m, 50 * MS, LW_WAIT_DEFAULT);
    start_locker(&patient, &m, -1, LW_WAIT_DEFAULT);
    support_join(&hasty.thread);
    CHECK_EQ(hasty.status, LW_TIMEOUT);
    if (has_membarrier()) {
        support_await_waiters(lw_biased_mutex_exit_(&m), 1);
    }
    lw_biased_mutex_unlock(&m);
    support_join(&patient.thread);
    CHECK_EQ(patient.status, LW_OK);
    CHECK_EQ(entered, 1);
    check_quiet(&m);
}

/* ---- Misuse ---- */

static void unlock_it(void *arg)
{
    lw_biased_mutex_unlock((lw_biased_mutex_t *)arg);
}

static void lock_it(void *arg)
{
    lw_biased_mutex_lock((lw_biased_mutex_t *)arg);
}

static void expect_abort(void (*fn)(void *arg), lw_biased_mutex_t *m, const char *function,
                         const char *what)
{
    char output[512];
    int status = support_fork(fn, m, output, sizeof output);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    CHECK(strstr(output, function) != NULL);
    CHECK(strstr(output, what) != NULL);
    CHECK(strchr(output, '\n') != NULL);
}

static void assert_it(void *arg)
{
    lw_biased_mutex_assert_held((lw_biased_mutex_t *)arg);
}

/* On a thread that is not the holder. */
static void expect_aborts_of_another(void *arg)
{
    lw_biased_mutex_t *m = (lw_biased_mutex_t *)arg;
    (void)lw_thread_self();
    expect_abort(unlock_it, m, "lw_biased_mutex_unlock", "another thread has locked");
#if defined(LW_DEBUG)
    expect_abort(assert_it, m, "lw_biased_mutex_assert_held", "another thread has locked");
#endif
}

TEST(misuse)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    int i;
    for (i = 0; i < 3; i++) { /* never used, free, biased */
        if (i == 2) {
            (void)earn_bias(&m);
        }
        expect_abort(unlock_it, &m, "lw_biased_mutex_unlock", "not locked");
#if defined(LW_DEBUG)
        expect_abort(assert_it, &m, "lw_biased_mutex_assert_held", "not locked");
#else
        assert_it(&m);
#endif
        lw_biased_mutex_lock(&m);
        lw_biased_mutex_assert_held(&m);
        expect_abort(lock_it, &m, "lw_biased_mutex_lock", "already");
        support_run(1, expect_aborts_of_another, &m, 1);
        lw_biased_mutex_unlock(&m);
        check_quiet(&m);
    }
}

/* While another waits for the holder to leave. */
TEST(misuse_of_a_claimed_one)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    locker l;
    (void)earn_bias(&m);
    lw_biased_mutex_lock(&m);
    start_locker(&l, &m, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(state_of(&m), has_membarrier() ? LW_BIASED_CLAIMED_ : LW_BIASED_LOCKED_);
    lw_biased_mutex_assert_held(&m);
    CHECK(!lw_biased_mutex_trylock(&m));
    CHECK_EQ(lw_biased_mutex_lock_for(&m, 2 * MS), LW_TIMEOUT);
    expect_abort(lock_it, &m, "lw_biased_mutex_lock", "already");
    support_run(1, expect_aborts_of_another, &m, 1);
    lw_biased_mutex_unlock(&m);
    support_join(&l.thread);
    CHECK_EQ(entered, 1);
    check_quiet(&m);
}

/* ---- More mutexes held at once than a record has slots ---- */

/* In every order. */
TEST(many_held_at_once)
{
    enum { N = LW_BIASED_SLOTS + 3, ROUNDS = 300 };
    lw_biased_mutex_t m[N];
    support_random random = support_random_new(support_seed(), 0);
    int order[N], round, i, j;
    memset(m, 0, sizeof m);
    for (i = 0; i < N; i++) {
        order[i] = i;
    }
    for (round = 0; round < ROUNDS; round++) {
        for (i = 0; i < N; i++) {
            int other;
            j = (int)support_below(&random, N);
            other = order[j];
            order[j] = order[i];
            order[i] = other;
        }
        for (i = 0; i < N; i++) {
            lw_biased_mutex_lock(&m[order[i]]);
        }
        for (i = 0; i < N; i++) {
            for (j = 0; j < N; j++) {
                CHECK_EQ(lw_biased_mutex_is_locked(&m[order[j]]), j >= i);
                CHECK(j < i || !lw_biased_mutex_trylock(&m[order[j]]));
            }
            lw_biased_mutex_unlock(&m[order[i]]);
        }
    }
    for (i = 0; i < N; i++) {
        CHECK_EQ(is_biased_to(&m[i], lw_thread_self()), has_membarrier());
        support_run(1, lock_and_unlock, &m[i], 1);
        check_quiet(&m[i]);
    }
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
    /* None of the library's locks is held here: another of its locks may be taken. */
    {
        lw_biased_mutex_t other = LW_BIASED_MUTEX_INIT;
        lw_biased_mutex_lock(&other);
        lw_biased_mutex_unlock(&other);
    }
    __atomic_fetch_add(&afters, 1, __ATOMIC_RELAXED);
}

static void waits_detach(bool biased)
{
    static const lw_block_hooks hooks = {hook_before, hook_after};
    static lw_biased_mutex_t m;
    locker l;
    lw_domain_set_block_hooks(&hooks);
    if (biased) {
        (void)earn_bias(&m);
    }
    lw_biased_mutex_lock(&m);
    start_locker(&l, &m, 3 * MS, LW_WAIT_ATTACHED);
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_TIMEOUT);
    CHECK_EQ(befores, 0);
    start_locker(&l, &m, 100 * MS, LW_WAIT_DEFAULT);
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_TIMEOUT);
    CHECK_EQ(befores, 1);
    CHECK_EQ(afters, 1);
    start_locker(&l, &m, -1, LW_WAIT_DEFAULT);
    while (__atomic_load_n(&befores, __ATOMIC_RELAXED) != 2) {
        support_sleep(200000); /* it is in the queue, and on its way to the hook */
    }
    CHECK_EQ(__atomic_load_n(&afters, __ATOMIC_RELAXED), 1);
    lw_biased_mutex_unlock(&m);
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_OK);
    CHECK_EQ(befores, afters);
    check_quiet(&m);
}

TEST(a_wait_detaches_unless_told_not_to)
{
    waits_detach(false);
}

TEST(a_wait_for_who_is_inside_detaches_unless_told_not_to)
{
    waits_detach(true);
}

static void on_signal(int number)
{
    (void)number;
}

static void interrupt_with(int sa_flags, bool biased)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    struct sigaction action;
    locker l;
    int i;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = sa_flags;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    if (biased) {
        (void)earn_bias(&m);
    }
    lw_biased_mutex_lock(&m);
    start_locker(&l, &m, -1, LW_WAIT_INTERRUPTIBLE);
    for (i = 0; waiters_of(&m) != 0; i++) {
        CHECK(i < 5000);
        CHECK_EQ(pthread_kill(l.thread.id, SIGUSR1), 0);
        support_sleep(MS);
    }
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_INTERRUPTED);
    CHECK_EQ(entered, 0);
    CHECK_EQ(is_biased_to(&m, lw_thread_self()), biased && has_membarrier());
    lw_biased_mutex_unlock(&m);
    check_quiet(&m);
}

TEST(signal_interrupts_who_asked_for_it)
{
    interrupt_with(0, false);
}

TEST(signal_interrupts_who_waits_for_who_is_inside)
{
    interrupt_with(SA_RESTART, true);
}

/* ---- The thread ends while it attaches ---- */

static int ending;

static void hook_ends(void *token)
{
    CHECK(token == &befores);
    support_end(&ending);
}

/* The first of two sleepers is woken, and never returns: the other gets the lock. */
static void first_ends(bool biased, int64_t timeout_ns)
{
    static const lw_block_hooks hooks = {hook_before, hook_ends};
    static lw_biased_mutex_t m;
    locker first, second;
    int i;
    lw_domain_set_block_hooks(&hooks);
    if (biased) {
        (void)earn_bias(&m);
    }
    lw_biased_mutex_lock(&m);
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    start_locker(&first, &m, timeout_ns, LW_WAIT_DEFAULT);
    start_locker(&second, &m, -1, LW_WAIT_ATTACHED); /* no hook: it is the first that ends */
    if (timeout_ns >= 0) {
        support_join(&first.thread);
        lw_biased_mutex_unlock(&m);
    } else {
        lw_biased_mutex_unlock(&m);
        support_join(&first.thread);
    }
    for (i = 0; !__atomic_load_n(&second.done, __ATOMIC_ACQUIRE); i++) {
        CHECK(i < 10000); /* a lost wake is a failure, and no hang */
        support_sleep(MS);
    }
    support_join(&second.thread);
    CHECK_EQ(first.done, 0);
    CHECK_EQ(second.status, LW_OK);
    check_quiet(&m);
}

TEST(who_ends_while_it_attaches_passes_the_wake_on)
{
    first_ends(false, -1);
}

TEST(who_ends_with_a_claim_gives_it_back)
{
    first_ends(true, -1);
}

TEST(who_ends_with_a_claim_after_its_time_gives_it_back)
{
    first_ends(true, 100 * MS);
}

/* ---- Exclusion, and the memory freed by whoever locks next ---- */

enum { THREADS = 4, ROUNDS = 20000 };

static lw_biased_mutex_t counter_mutex;
static uint64_t counter;

static void count_up(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < ROUNDS; i++) {
        if (i % 3 == 0) {
            while (!lw_biased_mutex_trylock(&counter_mutex)) {
                support_sleep(1000);
            }
        } else if (i % 3 == 1) {
            while (lw_biased_mutex_lock_for(&counter_mutex, 50000) != LW_OK) {
            }
        } else {
            lw_biased_mutex_lock(&counter_mutex);
        }
        counter++;
        lw_biased_mutex_unlock(&counter_mutex);
    }
}

TEST(exclusion)
{
    char unused[THREADS] = {0};
    support_run(THREADS, count_up, unused, 1);
    CHECK_EQ(counter, THREADS * ROUNDS);
    check_quiet(&counter_mutex);
}

/* Nothing else orders the two, which is for ThreadSanitizer to see: so they poll and sleep. */
static int has_left, may_end;

static void count_by_the_bias(void *arg)
{
    lw_biased_mutex_t *m = (lw_biased_mutex_t *)arg;
    (void)earn_bias(m);
    lw_biased_mutex_lock(m);
    counter++;
    lw_biased_mutex_unlock(m);
    __atomic_store_n(&has_left, 1, __ATOMIC_RELAXED);
    while (!__atomic_load_n(&may_end, __ATOMIC_RELAXED)) {
        support_sleep(MS);
    }
}

TEST(who_takes_the_bias_away_sees_what_was_done_by_it)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    support_thread other;
    support_start(&other, count_by_the_bias, &m);
    while (!__atomic_load_n(&has_left, __ATOMIC_RELAXED)) {
        support_sleep(MS);
    }
    lw_biased_mutex_lock(&m);
    CHECK_EQ(++counter, 1 + 1);
    lw_biased_mutex_unlock(&m);
    __atomic_store_n(&may_end, 1, __ATOMIC_RELAXED);
    support_join(&other);
    check_quiet(&m);
}

typedef struct object {
    lw_biased_mutex_t mutex;
    int users;
} object;

enum { OBJECTS = 500 };
static object *objects[OBJECTS];

/* The first has the bias of all of them, and is on its way out when another comes and frees. */
static void use_and_free(void *arg)
{
    int i, number = *(int *)arg;
    if (number == 0) {
        for (i = 0; i < OBJECTS; i++) {
            (void)earn_bias(&objects[i]->mutex);
        }
        support_reach(&steps, 1);
    }
    support_await(&steps, 1);
    for (i = 0; i < OBJECTS; i++) {
        object *o = objects[i];
        bool last;
        lw_biased_mutex_lock(&o->mutex);
        last = --o->users == 0;
        lw_biased_mutex_unlock(&o->mutex);
        if (last) {
            memset(o, 0xdd, sizeof *o);
            free(o);
        }
    }
}

TEST(the_next_owner_may_free_it)
{
    int numbers[THREADS] = {0, 1, 2, 3};
    int i;
    for (i = 0; i < OBJECTS; i++) {
        objects[i] = (object *)calloc(1, sizeof *objects[i]);
        CHECK(objects[i] != NULL);
        objects[i]->users = THREADS;
    }
    support_run(THREADS, use_and_free, numbers, sizeof numbers[0]);
}

/* ---- Records of threads ---- */

TEST(locking_needs_memory_for_the_record_alone)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    locker l;
    heap_install();
    (void)earn_bias(&m);
    heap_fail_after(0);
    lw_biased_mutex_lock(&m);
    start_locker(&l, &m, -1, LW_WAIT_DEFAULT);
    lw_biased_mutex_unlock(&m);
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_OK);
    check_quiet(&m);
}

TEST(without_a_record_there_is_no_bias)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    int i;
    heap_install();
    heap_fail_after(0);
    for (i = 0; i < 2 * AFTER; i++) {
        lw_biased_mutex_lock(&m);
        CHECK(!lw_biased_mutex_trylock(&m));
        CHECK(lw_biased_mutex_is_locked(&m));
        lw_biased_mutex_assert_held(&m);
        lw_biased_mutex_unlock(&m);
        CHECK(is_free(&m));
    }
    CHECK(lw_thread_self() == NULL);
    /* One that is made between lock and unlock. */
    lw_biased_mutex_lock(&m);
    heap_fail_after(-1);
    CHECK(lw_thread_self() != NULL);
    lw_biased_mutex_assert_held(&m);
    lw_biased_mutex_unlock(&m);
    (void)earn_bias(&m);
    check_quiet(&m);
}

static lw_thread *first_self;

static void earn_and_exit(void *arg)
{
    first_self = lw_thread_self();
    (void)earn_bias((lw_biased_mutex_t *)arg);
}

static void inherit(void *arg)
{
    lw_biased_mutex_t *m = (lw_biased_mutex_t *)arg;
    CHECK(lw_thread_self() == first_self);
    CHECK_EQ(is_biased_to(m, lw_thread_self()), has_membarrier());
    lw_biased_mutex_lock(m);
    lw_biased_mutex_unlock(m);
    CHECK_EQ(is_biased_to(m, lw_thread_self()), has_membarrier());
}

TEST(bias_goes_on_with_the_record)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    (void)lw_thread_self();
    support_run(1, earn_and_exit, &m, 1);
    support_run(1, inherit, &m, 1);
    lw_biased_mutex_lock(&m);
    lw_biased_mutex_unlock(&m);
    check_quiet(&m);
}

static void exit_inside(void *arg)
{
    earn_and_exit(arg);
    lw_biased_mutex_lock((lw_biased_mutex_t *)arg);
}

static void is_another(void *arg)
{
    (void)arg;
    CHECK(lw_thread_self() != first_self);
}

TEST(exit_inside_leaves_it_locked)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    (void)lw_thread_self();
    support_run(1, exit_inside, &m, 1);
    if (has_membarrier()) {
        support_run(1, is_another, &m, 1);
    }
    CHECK(lw_biased_mutex_is_locked(&m));
    CHECK(!lw_biased_mutex_trylock(&m));
    CHECK_EQ(lw_biased_mutex_lock_for(&m, 3 * MS), LW_TIMEOUT);
    CHECK(lw_biased_mutex_is_locked(&m));
}

/* ---- Fork ---- */

static void child_unlocks(void *arg)
{
    lw_biased_mutex_t *m = (lw_biased_mutex_t *)arg;
    locker l;
    CHECK(lw_biased_mutex_is_locked(m));
    lw_biased_mutex_assert_held(m);
    lw_biased_mutex_unlock(m);
    CHECK(!lw_biased_mutex_is_locked(m));
    lw_biased_mutex_lock(m);
    entered = 0;
    start_locker(&l, m, -1, LW_WAIT_DEFAULT);
    lw_biased_mutex_unlock(m);
    support_join(&l.thread);
    CHECK_EQ(entered, 1);
    check_quiet(m);
}

/* One waits for it to leave, the others for that one. */
TEST(forked_child_unlocks_what_it_holds)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    locker l[2];
    int biased;
    for (biased = 0; biased < 2; biased++) {
        if (biased) {
            (void)earn_bias(&m);
        }
        entered = 0;
        lw_biased_mutex_lock(&m);
        start_locker(&l[0], &m, -1, LW_WAIT_DEFAULT);
        start_locker(&l[1], &m, -1, LW_WAIT_DEFAULT);
        support_fork_ok(child_unlocks, &m);
        CHECK_EQ(waiters_of(&m), 2);
        lw_biased_mutex_unlock(&m);
        support_join(&l[0].thread);
        support_join(&l[1].thread);
        CHECK_EQ(entered, 2);
        check_quiet(&m);
    }
}

static void earn_and_stay(void *arg)
{
    (void)earn_bias((lw_biased_mutex_t *)arg);
    support_reach(&steps, 1);
    support_await(&steps, 2);
}

static void child_takes_the_bias(void *arg)
{
    lw_biased_mutex_t *m = (lw_biased_mutex_t *)arg;
    support_run(1, lock_and_unlock, m, 1);
    lw_biased_mutex_lock(m);
    lw_biased_mutex_unlock(m);
    (void)earn_bias(m);
    support_run(1, lock_and_unlock, m, 1);
    check_quiet(m);
}

TEST(forked_child_takes_the_bias_of_a_thread_that_is_gone)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    support_thread owner;
    (void)lw_thread_self(); /* the child's next thread gets the record that has the bias */
    support_start(&owner, earn_and_stay, &m);
    support_await(&steps, 1);
    support_fork_ok(child_takes_the_bias, &m);
    /* In a child that was told to do without membarrier, what is biased is taken away all the
     * same. */
    (void)setenv("LW_NO_MEMBARRIER", "1", 1);
    support_fork_ok(child_takes_the_bias, &m);
    support_reach(&steps, 2);
    support_join(&owner);
}

static void child_finds_it_locked(void *arg)
{
    lw_biased_mutex_t *m = (lw_biased_mutex_t *)arg;
    int i;
    CHECK(lw_biased_mutex_is_locked(m));
    CHECK(!lw_biased_mutex_trylock(m));
    for (i = 0; i < 3; i++) {
        support_run(1, is_another, NULL, 1);
    }
    CHECK_EQ(lw_biased_mutex_lock_for(m, 3 * MS), LW_TIMEOUT);
    CHECK(lw_biased_mutex_is_locked(m));
}

static void earn_note_and_hold(void *arg)
{
    first_self = has_membarrier() ? lw_thread_self() : NULL;
    earn_and_hold(arg);
}

TEST(forked_child_finds_locked_what_another_thread_holds)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    support_thread owner;
    (void)lw_thread_self();
    support_start(&owner, earn_note_and_hold, &m);
    support_await(&steps, 1);
    support_fork_ok(child_finds_it_locked, &m);
    support_reach(&steps, 2);
    support_join(&owner);
    lw_biased_mutex_lock(&m);
    lw_biased_mutex_unlock(&m);
}

/* Handlers of the program run between the library's and the fork, and may lock. */
static lw_biased_mutex_t forks;
static int fork_stop;

static void lock_forks(void)
{
    int i;
    for (i = 0; i < 1000 && !is_biased_to(&forks, lw_thread_self()); i++) {
        lw_biased_mutex_lock(&forks);
        lw_biased_mutex_unlock(&forks);
    }
    lw_biased_mutex_lock(&forks);
    support_sleep(2 * MS); /* somebody comes and waits */
}

static void unlock_forks(void)
{
    lw_biased_mutex_unlock(&forks);
}

static void contend(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&fork_stop, __ATOMIC_RELAXED)) {
        if (lw_biased_mutex_lock_for(&forks, 100000) == LW_OK) {
            lw_biased_mutex_unlock(&forks);
        }
        support_sleep(MS / 2);
    }
}

static void child_locks_forks(void *arg)
{
    (void)arg;
    lw_biased_mutex_lock(&forks);
    lw_biased_mutex_unlock(&forks);
}

TEST(fork_handlers_of_the_program_may_lock)
{
    support_thread threads[2];
    int i;
    CHECK_EQ(pthread_atfork(lock_forks, unlock_forks, unlock_forks), 0);
    for (i = 0; i < 2; i++) {
        support_start(&threads[i], contend, NULL);
    }
    for (i = 0; i < 20; i++) {
        support_fork_ok(child_locks_forks, NULL);
    }
    __atomic_store_n(&fork_stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < 2; i++) {
        support_join(&threads[i]);
    }
}

/* ---- A wait is no cancellation point: the waiter is in a queue ---- */

static void *lock_and_finish(void *arg)
{
    locker *l = (locker *)arg;
    lock_once(l);
    pthread_testcancel();
    return arg;
}

TEST(cancelled_waiter_stays_until_it_has_the_lock)
{
    lw_biased_mutex_t m = LW_BIASED_MUTEX_INIT;
    locker l;
    pthread_t thread;
    void *result;
    memset(&l, 0, sizeof l);
    l.mutex = &m;
    l.timeout_ns = -1;
    l.entered = &entered;
    (void)earn_bias(&m);
    lw_biased_mutex_lock(&m);
    CHECK_EQ(pthread_create(&thread, NULL, lock_and_finish, &l), 0);
    while (waiters_of(&m) == 0) {
        support_sleep(200000);
    }
    CHECK_EQ(pthread_cancel(thread), 0);
    support_sleep(5 * MS);
    CHECK(pthread_tryjoin_np(thread, &result) != 0);
    CHECK_EQ(waiters_of(&m), 1);
    lw_biased_mutex_unlock(&m);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
    CHECK_EQ(entered, 1);
    check_quiet(&m);
}
