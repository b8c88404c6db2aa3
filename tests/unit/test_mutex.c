/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_tryjoin_np */
#endif
#include <latchwork/mutex.h>

#include "heap.h"
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

TEST(four_bytes_all_zero)
{
    lw_mutex_t zeroed, initialised = LW_MUTEX_INIT, set;
    memset(&zeroed, 0, sizeof zeroed);
    memset(&set, 0xff, sizeof set);
    lw_mutex_init(&set);
    CHECK_EQ(sizeof zeroed, 4);
    CHECK_EQ(memcmp(&zeroed, &initialised, sizeof zeroed), 0);
    CHECK_EQ(memcmp(&zeroed, &set, sizeof zeroed), 0);
    CHECK(!lw_mutex_is_locked(&zeroed));
    lw_mutex_lock(&zeroed);
    lw_mutex_unlock(&zeroed);
    CHECK_EQ(memcmp(&zeroed, &initialised, sizeof zeroed), 0);
}

TEST(lock_trylock_unlock)
{
    lw_mutex_t m = LW_MUTEX_INIT;
    int i;
    for (i = 0; i < 3; i++) {
        CHECK(lw_mutex_trylock(&m));
        CHECK(lw_mutex_is_locked(&m));
        CHECK(!lw_mutex_trylock(&m));
        lw_mutex_unlock(&m);
        CHECK(!lw_mutex_is_locked(&m));
        lw_mutex_lock(&m);
        CHECK(lw_mutex_is_locked(&m));
        CHECK(!lw_mutex_trylock(&m));
        lw_mutex_unlock(&m);
    }
}

TEST(tryunlock)
{
    lw_mutex_t m = LW_MUTEX_INIT;
    CHECK(!lw_mutex_tryunlock(&m));
    lw_mutex_lock(&m);
    CHECK(lw_mutex_tryunlock(&m));
    CHECK(!lw_mutex_tryunlock(&m));
    CHECK(lw_mutex_trylock(&m));
    lw_mutex_unlock(&m);
}

TEST(lock_for)
{
    lw_mutex_t m = LW_MUTEX_INIT;
    CHECK_EQ(lw_mutex_lock_for(&m, 0), LW_OK);
    CHECK_EQ(lw_mutex_lock_for(&m, 0), LW_TIMEOUT);
    CHECK_EQ(lw_mutex_lock_for(&m, 1), LW_TIMEOUT);
    CHECK_EQ(lw_mutex_lock_for(&m, 2 * MS), LW_TIMEOUT);
    CHECK(lw_mutex_is_locked(&m));
    lw_mutex_unlock(&m);
    CHECK_EQ(lw_mutex_lock_for(&m, -1), LW_OK);
    lw_mutex_unlock(&m);
    CHECK_EQ(lw_mutex_lock_for(&m, INT64_MAX), LW_OK);
    CHECK_EQ(lw_mutex_lock_flags(&m, 0, LW_WAIT_ATTACHED), LW_TIMEOUT);
    lw_mutex_unlock(&m);
    CHECK_EQ(lw_mutex_lock_flags(&m, 0, LW_WAIT_INTERRUPTIBLE), LW_OK);
    lw_mutex_unlock(&m);
    CHECK(!lw_mutex_is_locked(&m));
}

typedef struct locker {
    lw_mutex_t *mutex;
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
    l->status = lw_mutex_lock_flags(l->mutex, l->timeout_ns, l->flags);
    if (l->status == LW_OK) {
        ++*l->entered;
        lw_mutex_unlock(l->mutex);
    }
    __atomic_store_n(&l->done, 1, __ATOMIC_RELEASE);
}

static int entered;

/* Returns when it sleeps, or has given up already. */
static void start_locker(locker *l, lw_mutex_t *m, int64_t timeout_ns, unsigned flags)
{
    int64_t since_ns = support_mark();
    memset(l, 0, sizeof *l);
    l->mutex = m;
    l->timeout_ns = timeout_ns;
    l->flags = flags;
    l->entered = &entered;
    support_start(&l->thread, lock_once, l);
    support_await_newcomer(m, NULL, since_ns, &l->thread);
}

TEST(waiters_get_it_one_after_the_other)
{
    enum { N = 8 };
    lw_mutex_t m = LW_MUTEX_INIT;
    locker lockers[N];
    int i;
    lw_mutex_lock(&m);
    for (i = 0; i < N; i++) {
        start_locker(&lockers[i], &m, i % 2 == 0 ? -1 : INT64_MAX, LW_WAIT_DEFAULT);
    }
    CHECK_EQ(entered, 0);
    lw_mutex_unlock(&m);
    for (i = 0; i < N; i++) {
        support_join(&lockers[i].thread);
        CHECK_EQ(lockers[i].status, LW_OK);
    }
    CHECK_EQ(entered, N);
    CHECK_EQ(support_waiters(&m), 0);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&m.word), 0);
}

TEST(timed_out_waiters_leave_no_trace)
{
    lw_mutex_t m = LW_MUTEX_INIT;
    locker a, b;
    lw_mutex_lock(&m);
    start_locker(&a, &m, 20 * MS, LW_WAIT_DEFAULT);
    start_locker(&b, &m, 25 * MS, LW_WAIT_DEFAULT);
    support_join(&a.thread);
    support_join(&b.thread);
    CHECK_EQ(a.status, LW_TIMEOUT);
    CHECK_EQ(b.status, LW_TIMEOUT);
    CHECK_EQ(entered, 0);
    CHECK_EQ(support_waiters(&m), 0);
    CHECK(lw_mutex_is_locked(&m));
    lw_mutex_unlock(&m);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&m.word), 0);
    CHECK(lw_mutex_trylock(&m));
    lw_mutex_unlock(&m);
}

TEST(one_times_out_and_the_other_gets_it)
{
    lw_mutex_t m = LW_MUTEX_INIT;
    locker patient, hasty;
    lw_mutex_lock(&m);
    start_locker(&patient, &m, -1, LW_WAIT_DEFAULT);
    start_locker(&hasty, &m, 5 * MS, LW_WAIT_DEFAULT);
    support_join(&hasty.thread);
    CHECK_EQ(hasty.status, LW_TIMEOUT);
    lw_mutex_unlock(&m);
    support_join(&patient.thread);
    CHECK_EQ(patient.status, LW_OK);
    CHECK_EQ(entered, 1);
}

/* ---- Misuse: noticed with LW_DEBUG ---- */

#if defined(LW_DEBUG)
static void unlock_it(void *arg)
{
    lw_mutex_unlock((lw_mutex_t *)arg);
}

static void assert_it(void *arg)
{
    lw_mutex_assert_held((lw_mutex_t *)arg);
}

static void expect_abort(void (*fn)(void *arg), lw_mutex_t *m, const char *function,
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

static void expect_abort_of_another(void *arg)
{
    expect_abort(assert_it, (lw_mutex_t *)arg, "lw_mutex_assert_held", "another thread");
}

#endif

TEST(misuse)
{
    lw_mutex_t m = LW_MUTEX_INIT;
    int i;
    for (i = 0; i < 2; i++) {
#if defined(LW_DEBUG)
        expect_abort(unlock_it, &m, "lw_mutex_unlock", "not locked");
        expect_abort(assert_it, &m, "lw_mutex_assert_held", "not locked");
#else
        lw_mutex_assert_held(&m);
        lw_mutex_unlock(&m);
        CHECK_EQ(lw_atomic_load_relaxed_u32(&m.word), 0);
#endif
        lw_mutex_lock(&m);
        lw_mutex_assert_held(&m);
#if defined(LW_DEBUG)
        support_run(1, expect_abort_of_another, &m, 1);
#endif
        lw_mutex_unlock(&m);
    }
}

/* ---- Hooks and signals ---- */

static int befores, afters;
static uint32_t word_at_after;
static lw_mutex_t hooked;

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
        lw_mutex_t other = LW_MUTEX_INIT;
        lw_mutex_lock(&other);
        lw_mutex_unlock(&other);
    }
    word_at_after = lw_atomic_load_relaxed_u32(&hooked.word);
    __atomic_fetch_add(&afters, 1, __ATOMIC_RELAXED);
}

TEST(a_wait_detaches_unless_told_not_to)
{
    static const lw_block_hooks hooks = {hook_before, hook_after};
    locker l;
    lw_domain_set_block_hooks(&hooks);
    lw_mutex_lock(&hooked);
    start_locker(&l, &hooked, 3 * MS, LW_WAIT_ATTACHED);
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_TIMEOUT);
    CHECK_EQ(befores, 0);
    start_locker(&l, &hooked, 100 * MS, LW_WAIT_DEFAULT);
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_TIMEOUT);
    CHECK_EQ(befores, 1);
    CHECK_EQ(afters, 1);
    start_locker(&l, &hooked, -1, LW_WAIT_DEFAULT);
    while (__atomic_load_n(&befores, __ATOMIC_RELAXED) != 2) {
        support_sleep(200000); /* it is in the queue, and on its way to the hook */
    }
    CHECK_EQ(__atomic_load_n(&afters, __ATOMIC_RELAXED), 1);
    lw_mutex_unlock(&hooked);
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_OK);
    CHECK_EQ(befores, afters);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&hooked.word), 0);
}

static void on_signal(int number)
{
    (void)number;
}

static void interrupt_with(int sa_flags)
{
    lw_mutex_t m = LW_MUTEX_INIT;
    struct sigaction action;
    locker l;
    int i;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = sa_flags;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    lw_mutex_lock(&m);
    start_locker(&l, &m, -1, LW_WAIT_INTERRUPTIBLE);
    for (i = 0; support_waiters(&m) != 0; i++) {
        CHECK(i < 5000);
        CHECK_EQ(pthread_kill(l.thread.id, SIGUSR1), 0);
        support_sleep(MS);
    }
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_INTERRUPTED);
    CHECK_EQ(entered, 0);
    lw_mutex_unlock(&m);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&m.word), 0);
}

TEST(signal_interrupts_who_asked_for_it)
{
    interrupt_with(0);
}

TEST(signal_whose_calls_are_restarted_interrupts_too)
{
    interrupt_with(SA_RESTART);
}

/* ---- The thread ends while it attaches ---- */

static int ending;

static void hook_ends(void *token)
{
    CHECK(token == &befores);
    support_end(&ending);
}

/* The first of two sleepers is woken, and never returns: the other gets the lock. */
TEST(who_ends_while_it_attaches_passes_the_wake_on)
{
    static const lw_block_hooks hooks = {hook_before, hook_ends};
    static lw_mutex_t m;
    locker first, second;
    int i;
    lw_domain_set_block_hooks(&hooks);
    lw_mutex_lock(&m);
    start_locker(&first, &m, -1, LW_WAIT_DEFAULT);
    start_locker(&second, &m, -1, LW_WAIT_ATTACHED); /* no hook: it is the first that ends */
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    lw_mutex_unlock(&m);
    support_join(&first.thread);
    for (i = 0; !__atomic_load_n(&second.done, __ATOMIC_ACQUIRE); i++) {
        CHECK(i < 10000); /* a lost wake is a failure, and no hang */
        support_sleep(MS);
    }
    support_join(&second.thread);
    CHECK_EQ(first.done, 0);
    CHECK_EQ(second.status, LW_OK);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&m.word), 0);
    /* Likewise after a time-out: nobody is announced any more. */
    lw_mutex_lock(&m);
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    memset(&first, 0, sizeof first);
    first.mutex = &m;
    first.timeout_ns = 100 * MS;
    first.entered = &entered;
    support_start(&first.thread, lock_once, &first);
    support_join(&first.thread);
    CHECK_EQ(first.done, 0);
    CHECK_EQ(support_announced(&m), 0);
    lw_mutex_unlock(&m);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&m.word), 0);
}

/* ---- Hand-over ---- */

typedef struct holder {
    lw_mutex_t *mutex;
    support_thread thread;
    int has, may_go;
} holder;

static void hold_until_told(void *arg)
{
    holder *h = (holder *)arg;
    lw_mutex_lock(h->mutex);
    __atomic_store_n(&h->has, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&h->may_go, __ATOMIC_ACQUIRE)) {
        support_sleep(100000);
    }
    lw_mutex_unlock(h->mutex);
}

static void see_wait(void *arg, const void *address, int64_t waited_ns)
{
    (void)address;
    if (waited_ns < *(int64_t *)arg) {
        *(int64_t *)arg = waited_ns;
    }
}

/* Until all who wait have waited so long that they starve. */
static void let_them_starve(void)
{
    int64_t shortest;
    do {
        support_sleep(MS);
        shortest = INT64_MAX;
        lw_park_report(see_wait, &shortest);
    } while (shortest < 2 * MS);
}

TEST(who_has_starved_is_handed_the_mutex)
{
    static lw_mutex_t m;
    holder first, second;
    int i;
    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    first.mutex = second.mutex = &m;
    lw_mutex_lock(&m);
    support_start(&first.thread, hold_until_told, &first);
    support_await_waiters(&m, 1);
    support_start(&second.thread, hold_until_told, &second);
    support_await_waiters(&m, 2);
    let_them_starve();
    support_hold_up(&first.thread);
    lw_mutex_unlock(&m);
    /* Before unlock returned it was the other's, who has not run yet. */
    CHECK(!lw_mutex_trylock(&m));
    support_let_go();
    for (i = 0; !__atomic_load_n(&first.has, __ATOMIC_ACQUIRE); i++) {
        CHECK(i < 10000); /* a failure, and no hang */
        support_sleep(MS);
    }
    CHECK_EQ(support_announced(&m), 1);
    CHECK_EQ(second.has, 0);
    support_sleep(MS); /* longer than the pause between two hand-overs */
    __atomic_store_n(&first.may_go, 1, __ATOMIC_RELEASE);
    support_join(&first.thread);
    CHECK(!lw_mutex_trylock(&m));
    __atomic_store_n(&second.may_go, 1, __ATOMIC_RELEASE);
    support_join(&second.thread);
    CHECK_EQ(support_announced(&m), 0);
    CHECK(lw_mutex_trylock(&m));
    lw_mutex_unlock(&m);
}

/* It owned the mutex, and never returned from the wait. */
TEST(who_is_handed_it_and_ends_lets_go)
{
    static const lw_block_hooks hooks = {hook_before, hook_ends};
    static lw_mutex_t m;
    holder h;
    lw_domain_set_block_hooks(&hooks);
    memset(&h, 0, sizeof h);
    h.mutex = &m;
    lw_mutex_lock(&m);
    support_start(&h.thread, hold_until_told, &h);
    support_await_waiters(&m, 1);
    let_them_starve();
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    lw_mutex_unlock(&m);
    support_join(&h.thread);
    CHECK_EQ(h.has, 0);
    CHECK_EQ(support_announced(&m), 0);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&m.word), 0);
}

/* ---- The quick way of unlock: closed by who waits, open again after a while ---- */

TEST(quick_way_opens_again)
{
    lw_mutex_t m = LW_MUTEX_INIT;
    bool has_membarrier;
    locker l;
    int i, turns;
    for (i = 0; i < 100; i++) { /* the first ones need no domain, and make none */
        lw_mutex_lock(&m);
        lw_mutex_unlock(&m);
    }
    has_membarrier = !lw_park_announced_(&m);
    if (getenv("LW_NO_MEMBARRIER") != NULL && getenv("LW_NO_MEMBARRIER")[0] == '1') {
        CHECK(!has_membarrier);
    }
    for (i = 0; i < 2; i++) {
        lw_mutex_lock(&m);
        start_locker(&l, &m, i == 0 ? -1 : 2 * MS, LW_WAIT_DEFAULT);
        CHECK(lw_park_announced_(&m));
        if (i != 0) {
            support_join(&l.thread);
        }
        lw_mutex_unlock(&m);
        if (i == 0) {
            support_join(&l.thread);
        }
        for (turns = 0; turns < 40000 && lw_park_announced_(&m); turns++) {
            lw_mutex_lock(&m);
            lw_mutex_unlock(&m);
        }
        CHECK_EQ(lw_park_announced_(&m), !has_membarrier);
        CHECK(turns > 1000);
    }
}

/* ---- Exclusion, and the memory freed by whoever locks next ---- */

enum { THREADS = 4, ROUNDS = 20000 };

static lw_mutex_t counter_mutex;
static uint64_t counter;

static void count_up(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < ROUNDS; i++) {
        if (i % 3 == 0) {
            while (!lw_mutex_trylock(&counter_mutex)) {
                support_sleep(1000);
            }
        } else if (i % 3 == 1) {
            while (lw_mutex_lock_for(&counter_mutex, 50000) != LW_OK) {
            }
        } else {
            lw_mutex_lock(&counter_mutex);
        }
        counter++;
        lw_mutex_unlock(&counter_mutex);
    }
}

TEST(exclusion)
{
    char unused[THREADS] = {0};
    support_run(THREADS, count_up, unused, 1);
    CHECK_EQ(counter, THREADS * ROUNDS);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&counter_mutex.word), 0);
}

typedef struct object {
    lw_mutex_t mutex;
    int users;
} object;

enum { OBJECTS = 3000 };
static object *objects[OBJECTS];

static void use_and_free(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < OBJECTS; i++) {
        object *o = objects[i];
        bool last;
        lw_mutex_lock(&o->mutex);
        last = --o->users == 0;
        lw_mutex_unlock(&o->mutex);
        if (last) {
            memset(o, 0xdd, sizeof *o);
            free(o);
        }
    }
}

TEST(the_next_owner_may_free_it)
{
    char unused[THREADS] = {0};
    int i;
    for (i = 0; i < OBJECTS; i++) {
        objects[i] = (object *)calloc(1, sizeof *objects[i]);
        CHECK(objects[i] != NULL);
        objects[i]->users = THREADS;
    }
    support_run(THREADS, use_and_free, unused, 1);
}

TEST(locking_needs_no_memory)
{
    lw_mutex_t m = LW_MUTEX_INIT;
    locker l;
    heap_install();
    heap_fail_after(0);
    lw_mutex_lock(&m);
    start_locker(&l, &m, -1, LW_WAIT_DEFAULT);
    lw_mutex_unlock(&m);
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_OK);
    CHECK_EQ(heap_calls(), 0);
}

/* ---- Fork: a mutex that the forking thread holds, others waiting for it ---- */

static void child_unlocks(void *arg)
{
    lw_mutex_t *m = (lw_mutex_t *)arg;
    locker l;
    CHECK(lw_mutex_is_locked(m));
    lw_mutex_unlock(m);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&m->word), 0);
    lw_mutex_lock(m);
    entered = 0;
    start_locker(&l, m, -1, LW_WAIT_DEFAULT);
    lw_mutex_unlock(m);
    support_join(&l.thread);
    CHECK_EQ(entered, 1);
}

TEST(forked_child_unlocks_what_it_holds)
{
    lw_mutex_t m = LW_MUTEX_INIT;
    locker l[2];
    lw_mutex_lock(&m);
    start_locker(&l[0], &m, -1, LW_WAIT_DEFAULT);
    start_locker(&l[1], &m, -1, LW_WAIT_DEFAULT);
    support_fork_ok(child_unlocks, &m);
    CHECK_EQ(support_waiters(&m), 2);
    lw_mutex_unlock(&m);
    support_join(&l[0].thread);
    support_join(&l[1].thread);
    CHECK_EQ(entered, 2);
}

static int forks_in_hook;

static void fork_once(void)
{
    if (__atomic_exchange_n(&forks_in_hook, 0, __ATOMIC_RELAXED) != 0) {
        pid_t child = fork();
        int status = 0;
        CHECK(child >= 0);
        if (child != 0) {
            CHECK_EQ(waitpid(child, &status, 0), child);
            CHECK(WIFEXITED(status));
            CHECK_EQ(WEXITSTATUS(status), 0);
        } else {
            alarm(20);
        }
    }
}

static void *hook_forks_before(void)
{
    fork_once();
    return &befores;
}

static void hook_forks(void *token)
{
    CHECK(token == &befores);
    fork_once();
}

static pid_t first_process;

/* Comes back twice: from the parent's wait, and from the child's. */
static void lock_and_fork(void *arg)
{
    lw_mutex_t *m = (lw_mutex_t *)arg;
    locker l;
    if (lw_mutex_lock_for(m, 100 * MS) == LW_OK) {
        lw_mutex_unlock(m);
    }
    if (getpid() == first_process) {
        return;
    }
    CHECK_EQ(support_announced(m), 0);
    /* Somebody waits in the same queue: the wake must come. */
    lw_mutex_init(m);
    lw_mutex_lock(m);
    start_locker(&l, m, -1, LW_WAIT_ATTACHED);
    CHECK(lw_park_announced_(m));
    lw_mutex_unlock(m);
    support_join(&l.thread);
    _exit(l.status != LW_OK);
}

static void fork_in(const lw_block_hooks *hooks)
{
    static lw_mutex_t m;
    lw_domain_set_block_hooks(hooks);
    first_process = getpid();
    lw_mutex_lock(&m);
    __atomic_store_n(&forks_in_hook, 1, __ATOMIC_RELAXED);
    support_run(1, lock_and_fork, &m, 1);
    CHECK_EQ(forks_in_hook, 0);
    CHECK_EQ(support_announced(&m), 0);
    lw_mutex_unlock(&m);
}

/* While it is in the queue, as a signal's handler might. In the child it sleeps, in no queue. */
TEST(fork_in_a_wait)
{
    static const lw_block_hooks hooks = {hook_forks_before, hook_after};
    fork_in(&hooks);
}

TEST(fork_while_it_attaches_after_a_wait)
{
    static const lw_block_hooks hooks = {hook_before, hook_forks};
    fork_in(&hooks);
}

/* Handlers of the program run between the library's and the fork, and may lock. */
static lw_mutex_t forks;
static int fork_stop;

static void lock_forks(void)
{
    lw_mutex_lock(&forks);
    support_sleep(2 * MS); /* somebody comes and waits */
}

static void unlock_forks(void)
{
    lw_mutex_unlock(&forks);
}

static void contend(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&fork_stop, __ATOMIC_RELAXED)) {
        lw_mutex_lock(&forks);
        lw_mutex_unlock(&forks);
    }
}

static void child_locks_forks(void *arg)
{
    (void)arg;
    lw_mutex_lock(&forks);
    lw_mutex_unlock(&forks);
}

TEST(fork_handlers_of_the_program_may_lock)
{
    support_thread threads[2];
    locker l;
    int i;
    CHECK_EQ(pthread_atfork(lock_forks, unlock_forks, unlock_forks), 0);
    lw_mutex_lock(&forks); /* a first wait */
    start_locker(&l, &forks, -1, LW_WAIT_DEFAULT);
    lw_mutex_unlock(&forks);
    support_join(&l.thread);
    for (i = 0; i < 2; i++) {
        support_start(&threads[i], contend, NULL);
    }
    for (i = 0; i < 10; i++) {
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
    lw_mutex_t m = LW_MUTEX_INIT;
    locker l;
    pthread_t thread;
    void *result;
    memset(&l, 0, sizeof l);
    l.mutex = &m;
    l.timeout_ns = -1;
    l.entered = &entered;
    lw_mutex_lock(&m);
    CHECK_EQ(pthread_create(&thread, NULL, lock_and_finish, &l), 0);
    support_await_waiters(&m, 1);
    CHECK_EQ(pthread_cancel(thread), 0);
    support_sleep(5 * MS);
    CHECK(pthread_tryjoin_np(thread, &result) != 0);
    CHECK_EQ(support_waiters(&m), 1);
    lw_mutex_unlock(&m);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
    CHECK_EQ(entered, 1);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&m.word), 0);
}
