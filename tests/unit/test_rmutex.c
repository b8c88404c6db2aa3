/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/rmutex.h>

#include "heap.h"
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

TEST(sixteen_bytes_all_zero)
{
    lw_rmutex_t zeroed, initialised = LW_RMUTEX_INIT, set;
    memset(&zeroed, 0, sizeof zeroed);
    memset(&set, 0xff, sizeof set);
    lw_rmutex_init(&set);
    CHECK_EQ(sizeof zeroed, 16);
    CHECK_EQ(memcmp(&zeroed, &initialised, sizeof zeroed), 0);
    CHECK_EQ(memcmp(&zeroed, &set, sizeof zeroed), 0);
    lw_rmutex_lock(&zeroed);
    lw_rmutex_lock(&zeroed);
    lw_rmutex_unlock(&zeroed);
    lw_rmutex_unlock(&zeroed);
    CHECK_EQ(memcmp(&zeroed, &initialised, sizeof zeroed), 0);
}

static void expect(const lw_rmutex_t *m, uint32_t depth)
{
    CHECK_EQ(lw_rmutex_depth(m), depth);
    CHECK_EQ(lw_rmutex_is_owned(m), depth != 0);
    CHECK_EQ(lw_rmutex_is_locked(m), depth != 0);
}

TEST(levels)
{
    lw_rmutex_t m = LW_RMUTEX_INIT;
    expect(&m, 0);
    lw_rmutex_lock(&m);
    expect(&m, 1);
    CHECK(lw_rmutex_trylock(&m));
    expect(&m, 2);
    CHECK_EQ(lw_rmutex_lock_for(&m, 0), LW_OK);
    expect(&m, 3);
    CHECK_EQ(lw_rmutex_lock_flags(&m, 1, LW_WAIT_ATTACHED), LW_OK);
    expect(&m, 4);
    lw_rmutex_unlock(&m);
    lw_rmutex_unlock(&m);
    lw_rmutex_unlock(&m);
    expect(&m, 1);
    lw_rmutex_unlock(&m);
    expect(&m, 0);
    CHECK(lw_rmutex_trylock(&m));
    expect(&m, 1);
    lw_rmutex_unlock(&m);
}

TEST(save_and_restore)
{
    lw_rmutex_t m = LW_RMUTEX_INIT;
    uint32_t depth;
    int i;
    for (i = 1; i <= 3; i++) {
        lw_rmutex_lock(&m);
        depth = lw_rmutex_save(&m);
        CHECK_EQ(depth, i);
        expect(&m, 0);
        lw_rmutex_restore(&m, depth, LW_WAIT_DEFAULT);
        expect(&m, (uint32_t)i);
    }
    for (i = 3; i > 0; i--) {
        lw_rmutex_unlock(&m);
    }
    expect(&m, 0);
}

typedef struct locker {
    lw_rmutex_t *mutex;
    int64_t timeout_ns;
    unsigned flags;
    lw_status status;
    support_thread thread;
    int done;
} locker;

static int entered;

static void lock_twice(void *arg)
{
    locker *l = (locker *)arg;
    CHECK(!lw_rmutex_is_owned(l->mutex));
    CHECK_EQ(lw_rmutex_depth(l->mutex), 0);
    l->status = lw_rmutex_lock_flags(l->mutex, l->timeout_ns, l->flags);
    if (l->status == LW_OK) {
        CHECK_EQ(lw_rmutex_lock_flags(l->mutex, 0, l->flags), LW_OK);
        entered++;
        lw_rmutex_unlock(l->mutex);
        CHECK_EQ(lw_rmutex_depth(l->mutex), 1);
        lw_rmutex_unlock(l->mutex);
    }
    __atomic_store_n(&l->done, 1, __ATOMIC_RELEASE);
}

/* Returns when it sleeps, or has given up already. */
static void start_locker(locker *l, lw_rmutex_t *m, int64_t timeout_ns, unsigned flags)
{
    int64_t since_ns = support_mark();
    memset(l, 0, sizeof *l);
    l->mutex = m;
    l->timeout_ns = timeout_ns;
    l->flags = flags;
    support_start(&l->thread, lock_twice, l);
    support_await_newcomer(&m->mutex, NULL, since_ns, &l->thread);
}

TEST(others_wait_until_the_last_level)
{
    lw_rmutex_t m = LW_RMUTEX_INIT;
    locker a, b, hasty;
    uint32_t depth;
    lw_rmutex_lock(&m);
    lw_rmutex_lock(&m);
    start_locker(&a, &m, -1, LW_WAIT_DEFAULT);
    start_locker(&hasty, &m, 2 * MS, LW_WAIT_DEFAULT);
    support_join(&hasty.thread);
    CHECK_EQ(hasty.status, LW_TIMEOUT);
    start_locker(&hasty, &m, 0, LW_WAIT_DEFAULT);
    support_join(&hasty.thread);
    CHECK_EQ(hasty.status, LW_TIMEOUT);
    lw_rmutex_unlock(&m);
    CHECK_EQ(support_waiters(&m.mutex), 1);
    CHECK_EQ(entered, 0);
    lw_rmutex_unlock(&m);
    support_join(&a.thread);
    CHECK_EQ(a.status, LW_OK);
    CHECK_EQ(entered, 1);
    lw_rmutex_lock(&m);
    lw_rmutex_lock(&m);
    start_locker(&b, &m, INT64_MAX, LW_WAIT_ATTACHED);
    depth = lw_rmutex_save(&m);
    support_join(&b.thread);
    CHECK_EQ(b.status, LW_OK);
    CHECK_EQ(entered, 2);
    lw_rmutex_restore(&m, depth, LW_WAIT_ATTACHED);
    expect(&m, 2);
}

typedef struct holder {
    lw_rmutex_t *mutex;
    support_step held, let_go;
} holder;

static void hold(void *arg)
{
    holder *h = (holder *)arg;
    lw_rmutex_lock(h->mutex);
    support_reach(&h->held, 1);
    support_await(&h->let_go, 1);
    lw_rmutex_unlock(h->mutex);
}

static void try_it(void *arg)
{
    lw_rmutex_t *m = (lw_rmutex_t *)arg;
    CHECK(!lw_rmutex_trylock(m));
    CHECK(!lw_rmutex_is_owned(m));
    CHECK(lw_rmutex_is_locked(m));
    CHECK_EQ(lw_rmutex_depth(m), 0);
}

TEST(trylock_of_another_thread)
{
    lw_rmutex_t m = LW_RMUTEX_INIT;
    lw_rmutex_lock(&m);
    support_run(1, try_it, &m, 1);
    expect(&m, 1);
    lw_rmutex_unlock(&m);
}

/* ---- Misuse ends the process ---- */

static void unlock_it(void *arg)
{
    lw_rmutex_unlock((lw_rmutex_t *)arg);
}

static void save_it(void *arg)
{
    (void)!lw_rmutex_save((lw_rmutex_t *)arg);
}

static void restore_none(void *arg)
{
    lw_rmutex_restore((lw_rmutex_t *)arg, 0, LW_WAIT_DEFAULT);
}

static void restore_over(void *arg)
{
    lw_rmutex_lock((lw_rmutex_t *)arg);
    lw_rmutex_restore((lw_rmutex_t *)arg, 1, LW_WAIT_DEFAULT);
}

static void lock_too_often(void *arg)
{
    lw_rmutex_t *m = (lw_rmutex_t *)arg;
    lw_rmutex_restore(m, UINT32_MAX - 1, LW_WAIT_DEFAULT);
    lw_rmutex_lock(m);
    CHECK_EQ(lw_rmutex_depth(m), UINT32_MAX);
    (void)lw_rmutex_trylock(m);
}

static void expect_abort(void (*fn)(void *arg), lw_rmutex_t *m, const char *function,
                         const char *what)
{
    char output[512];
    int status = support_fork(fn, m, output, sizeof output);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    CHECK(strstr(output, function) != NULL);
    CHECK(strstr(output, what) != NULL);
}

TEST(misuse)
{
    static lw_rmutex_t m;
    holder h = {&m, SUPPORT_STEP_INIT, SUPPORT_STEP_INIT};
    support_thread thread;
    expect_abort(unlock_it, &m, "lw_rmutex_unlock", "has not locked");
    expect_abort(save_it, &m, "lw_rmutex_save", "has not locked");
    expect_abort(restore_none, &m, "lw_rmutex_restore", "nothing");
    expect_abort(restore_over, &m, "lw_rmutex_restore", "has locked");
    expect_abort(lock_too_often, &m, "lw_rmutex_lock", "too often");
    support_start(&thread, hold, &h);
    support_await(&h.held, 1);
    expect_abort(unlock_it, &m, "lw_rmutex_unlock", "has not locked");
    expect_abort(save_it, &m, "lw_rmutex_save", "has not locked");
    support_reach(&h.let_go, 1);
    support_join(&thread);
    expect(&m, 0);
}

/* ---- Signals and hooks ---- */

static void on_signal(int number)
{
    (void)number;
}

TEST(signal_interrupts_who_asked_for_it)
{
    lw_rmutex_t m = LW_RMUTEX_INIT;
    struct sigaction action;
    locker l;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    lw_rmutex_lock(&m);
    start_locker(&l, &m, -1, LW_WAIT_INTERRUPTIBLE);
    while (!__atomic_load_n(&l.done, __ATOMIC_ACQUIRE)) {
        CHECK_EQ(pthread_kill(l.thread.id, SIGUSR1), 0);
        support_sleep(MS);
    }
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_INTERRUPTED);
    expect(&m, 1);
    lw_rmutex_unlock(&m);
}

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
    support_end(&ending);
}

static const lw_block_hooks hooks = {hook_before, hook_after};

TEST(a_wait_detaches_unless_told_not_to)
{
    lw_rmutex_t m = LW_RMUTEX_INIT;
    locker l;
    lw_domain_set_block_hooks(&hooks);
    lw_rmutex_lock(&m);
    start_locker(&l, &m, 2 * MS, LW_WAIT_ATTACHED);
    support_join(&l.thread);
    CHECK_EQ(befores, 0);
    start_locker(&l, &m, 100 * MS, LW_WAIT_DEFAULT);
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_TIMEOUT);
    CHECK_EQ(befores, 1);
    CHECK_EQ(afters, 1);
    lw_rmutex_unlock(&m);
}

/* The first of two sleepers is woken, and never returns: the other gets the lock. */
TEST(who_ends_while_it_attaches_owns_nothing)
{
    static lw_rmutex_t m;
    locker first, second;
    lw_domain_set_block_hooks(&hooks);
    lw_rmutex_lock(&m);
    start_locker(&first, &m, -1, LW_WAIT_DEFAULT);
    start_locker(&second, &m, -1, LW_WAIT_ATTACHED); /* no hook: it is the first that ends */
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    lw_rmutex_unlock(&m);
    support_join(&first.thread);
    support_join(&second.thread);
    CHECK_EQ(first.done, 0);
    CHECK_EQ(second.status, LW_OK);
    expect(&m, 0);
}

/* ---- Exclusion, and the memory freed by whoever locks next ---- */

enum { THREADS = 4, ROUNDS = 10000, OBJECTS = 2000 };

static lw_rmutex_t counter_mutex;
static uint64_t counter;

static void count_up(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < ROUNDS; i++) {
        while (i % 3 == 0 && lw_rmutex_lock_for(&counter_mutex, 50000) != LW_OK) {
        }
        lw_rmutex_lock(&counter_mutex);
        if (i % 2 == 0) {
            lw_rmutex_restore(&counter_mutex, lw_rmutex_save(&counter_mutex), LW_WAIT_DEFAULT);
        }
        counter++;
        if (i % 3 == 0) {
            lw_rmutex_unlock(&counter_mutex);
        }
        lw_rmutex_unlock(&counter_mutex);
        CHECK(!lw_rmutex_is_owned(&counter_mutex));
    }
}

TEST(exclusion)
{
    char unused[THREADS] = {0};
    support_run(THREADS, count_up, unused, 1);
    CHECK_EQ(counter, THREADS * ROUNDS);
    expect(&counter_mutex, 0);
}

typedef struct object {
    lw_rmutex_t mutex;
    int users;
} object;

static object *objects[OBJECTS];

static void use_and_free(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < OBJECTS; i++) {
        object *o = objects[i];
        bool last;
        lw_rmutex_lock(&o->mutex);
        lw_rmutex_lock(&o->mutex);
        last = --o->users == 0;
        if (i % 2 == 0) {
            lw_rmutex_unlock(&o->mutex);
            lw_rmutex_unlock(&o->mutex);
        } else {
            CHECK_EQ(lw_rmutex_save(&o->mutex), 2);
        }
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
    lw_rmutex_t m = LW_RMUTEX_INIT;
    locker l;
    heap_install();
    heap_fail_after(0);
    lw_rmutex_lock(&m);
    start_locker(&l, &m, -1, LW_WAIT_DEFAULT);
    lw_rmutex_unlock(&m);
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_OK);
    CHECK_EQ(heap_calls(), 0);
}

/* ---- Fork ---- */

static void child_owns_it(void *arg)
{
    lw_rmutex_t *m = (lw_rmutex_t *)arg;
    locker l;
    expect(m, 2);
    lw_rmutex_lock(m);
    lw_rmutex_unlock(m);
    lw_rmutex_unlock(m);
    start_locker(&l, m, -1, LW_WAIT_DEFAULT);
    lw_rmutex_unlock(m);
    support_join(&l.thread);
    CHECK_EQ(l.status, LW_OK);
    expect(m, 0);
}

TEST(forked_child_owns_what_the_forking_thread_did)
{
    lw_rmutex_t m = LW_RMUTEX_INIT;
    locker l[2];
    lw_rmutex_lock(&m);
    lw_rmutex_lock(&m);
    start_locker(&l[0], &m, -1, LW_WAIT_DEFAULT);
    start_locker(&l[1], &m, -1, LW_WAIT_DEFAULT);
    support_fork_ok(child_owns_it, &m);
    expect(&m, 2);
    lw_rmutex_unlock(&m);
    lw_rmutex_unlock(&m);
    support_join(&l[0].thread);
    support_join(&l[1].thread);
    CHECK_EQ(entered, 2);
}

static void child_finds_it_locked(void *arg)
{
    lw_rmutex_t *m = (lw_rmutex_t *)arg;
    CHECK(lw_rmutex_is_locked(m));
    CHECK(!lw_rmutex_is_owned(m));
    CHECK_EQ(lw_rmutex_lock_for(m, 2 * MS), LW_TIMEOUT);
    lw_rmutex_init(m);
    lw_rmutex_lock(m);
    expect(m, 1);
}

TEST(forked_child_finds_what_another_thread_held_locked)
{
    static lw_rmutex_t m;
    holder h = {&m, SUPPORT_STEP_INIT, SUPPORT_STEP_INIT};
    support_thread thread;
    support_start(&thread, hold, &h);
    support_await(&h.held, 1);
    support_fork_ok(child_finds_it_locked, &m);
    support_reach(&h.let_go, 1);
    support_join(&thread);
}

static void find_it_locked(void *arg)
{
    lw_rmutex_t *m = (lw_rmutex_t *)arg;
    CHECK(!lw_rmutex_is_owned(m));
    CHECK_EQ(lw_rmutex_depth(m), 0);
    CHECK(!lw_rmutex_trylock(m));
    CHECK_EQ(lw_rmutex_lock_for(m, MS), LW_TIMEOUT);
}

/* The first one is likely to get the stack of the parent's owner, and so its number. */
static void find_it_locked_in_new_threads(void *arg)
{
    support_run(8, find_it_locked, arg, 0);
}

static void fork_and_find_it_locked(void *arg)
{
    find_it_locked(arg);
    support_fork_ok(find_it_locked_in_new_threads, arg);
}

static void fork_in_a_new_thread(void *arg)
{
    support_run(1, fork_and_find_it_locked, arg, 0);
}

TEST(number_of_an_owner_of_the_parent_comes_again)
{
    static lw_rmutex_t m;
    holder h = {&m, SUPPORT_STEP_INIT, SUPPORT_STEP_INIT};
    support_thread thread;
    support_start(&thread, hold, &h);
    support_await(&h.held, 1);
    support_fork_ok(find_it_locked_in_new_threads, &m);
    support_fork_ok(fork_in_a_new_thread, &m);
    support_reach(&h.let_go, 1);
    support_join(&thread);
}
