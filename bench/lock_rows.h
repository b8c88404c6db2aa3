/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one lock. An adapter defines, before it includes this file,
 *   LOCK_NAME     the implementation's name
 *   LOCK_ID       the same as a C identifier
 *   lock_t        its type
 *   lock_local    what a critical section keeps on its stack (queue locks have a node there)
 *   lock_init(l), lock_fini(l), lock_take(l, c), lock_drop(l, c)
 * It may define
 *   LOCK_TRY(l, c)   try to take
 *   LOCK_BLOCKS      waiters sleep: rows with threads that are attached to Python
 *   LOCK_FIFO_SPIN   waiters spin in a fixed order: no row with more threads than processors, since
 *                    each hand-over to a thread that does not run costs a time slice
 *   LOCK_BIASED      it is for one thread that uses it nearly always: the rows of that area alone
 *   LOCK_BESIDE      its name among those, if it is not LOCK_NAME
 *   LOCK_UNSHARED    it is for one thread: no row with more
 * and gets register_LOCK_ID(). */
#include "rows.h"

#include <sched.h>

#ifndef LOCK_BESIDE
#define LOCK_BESIDE LOCK_NAME
#endif

typedef struct lock_shared {
    BENCH_CACHE_LINE lock_t lock;
    BENCH_CACHE_LINE uint64_t counter;
    bool attached;
    BENCH_CACHE_LINE int turn; /* whose it is, of two threads */
    bench_windows windows;
} lock_shared;

typedef struct lock_user {
    lock_shared *shared;
    void *python;
    int index;
} lock_user;

static void *lock_setup(int threads)
{
    lock_shared *s = (lock_shared *)bench_alloc(sizeof *s);
    s->windows.threads = threads;
    lock_init(&s->lock);
    return s;
}

static void lock_teardown(void *shared)
{
    lock_shared *s = (lock_shared *)shared;
    lock_fini(&s->lock);
    free(s);
}

static void *lock_begin(void *shared, int index)
{
    lock_user *u = (lock_user *)bench_alloc(sizeof *u);
    u->index = index;
    u->shared = (lock_shared *)shared;
    if (u->shared->attached)
        u->python = bench_python_begin();
    return u;
}

static void lock_end(void *shared, void *local)
{
    lock_user *u = (lock_user *)local;
    lock_shared *s = (lock_shared *)shared;
    if (u->python)
        bench_python_end(u->python);
    bench_window_report(&s->windows);
    free(u);
}

static uint64_t lock_free_pair(void *local, size_t n)
{
    lock_shared *s = ((lock_user *)local)->shared;
    size_t i;
    for (i = 0; i < n; i++) {
        lock_local c;
        lock_take(&s->lock, &c);
        gb_clobber();
        lock_drop(&s->lock, &c);
    }
    return n;
}

#ifndef LOCK_UNSHARED
/* A batch each, one thread after the other. */
static uint64_t lock_in_turns(void *local, size_t n)
{
    lock_user *u = (lock_user *)local;
    lock_shared *s = u->shared;
    while (__atomic_load_n(&s->turn, __ATOMIC_ACQUIRE) != u->index)
        sched_yield();
    (void)lock_free_pair(local, n);
    __atomic_store_n(&s->turn, 1 - u->index, __ATOMIC_RELEASE);
    return n;
}
#endif

static void lock_add_biased(const char *name)
{
    gb_row row = {"biased",   "take and drop, free", name,       1,        1024,
                  lock_setup, lock_teardown,         lock_begin, lock_end, lock_free_pair};
    gb_add(&row);
#ifndef LOCK_UNSHARED
    row.threads = 2;
    row.body = lock_in_turns;
    row.row = "in turns of 16384";
    row.batch = 16384;
    gb_add(&row);
    row.row = "in turns of 1024";
    row.batch = 1024;
    gb_add(&row);
#endif
}

#ifndef LOCK_BIASED
#ifdef LOCK_TRY
static uint64_t lock_try_pair(void *local, size_t n)
{
    lock_shared *s = ((lock_user *)local)->shared;
    uint64_t taken = 0;
    size_t i;
    for (i = 0; i < n; i++) {
        lock_local c;
        if (LOCK_TRY(&s->lock, &c)) {
            taken++;
            gb_clobber();
            lock_drop(&s->lock, &c);
        }
    }
    BENCH_CHECK(taken == n);
    return taken;
}
#endif

/* Until the window is over: with a fixed number of operations each, whoever an unfair lock prefers
 * would be through early, and the others would go on without a contender. */
static uint64_t lock_window(void *local, int inside, int outside, bool timed)
{
    lock_user *u = (lock_user *)local;
    lock_shared *s = u->shared;
    uint64_t seed = 1, done = 0;
    int64_t begin, waited, before = 0, longest = 0;
    if (u->python)
        bench_python_attach(u->python);
    begin = bench_window_begin(&s->windows, u->index);
    do {
        lock_local c;
        if (timed)
            before = bench_now();
        lock_take(&s->lock, &c);
        if (timed) {
            waited = bench_now() - before;
            longest = waited > longest ? waited : longest;
        }
        s->counter = inside == 0 ? s->counter + 1 : gb_work(s->counter + 1, inside);
        gb_clobber();
        lock_drop(&s->lock, &c);
        seed = gb_work(seed, outside);
    } while (bench_window_goes_on(&s->windows, u->index, begin, ++done, timed ? 1 : 32));
    bench_window_end(&s->windows, u->index, begin, done, longest);
    if (u->python)
        bench_python_detach(u->python);
    return seed;
}

static uint64_t lock_short(void *local, size_t n)
{
    (void)n;
    return lock_window(local, 0, 0, false);
}

static uint64_t lock_work(void *local, size_t n)
{
    (void)n;
    return lock_window(local, 64, 64, false);
}

static uint64_t lock_mostly_outside(void *local, size_t n)
{
    (void)n;
    return lock_window(local, 0, 200, false);
}

#ifdef LOCK_BLOCKS
/* About a microsecond. */
static uint64_t lock_long_inside(void *local, size_t n)
{
    (void)n;
    return lock_window(local, 1000, 0, true);
}
#endif

#ifdef LOCK_BLOCKS
static void *lock_setup_attached(int threads)
{
    lock_shared *s = (lock_shared *)lock_setup(threads);
    s->attached = true;
    return s;
}
#endif
#endif

BENCH_REGISTER(LOCK_ID)(void)
{
#ifndef LOCK_BIASED
    gb_row row = {"locks",    "take and drop, free", LOCK_NAME,  1,        1024,
                  lock_setup, lock_teardown,         lock_begin, lock_end, lock_free_pair};
    gb_add(&row);
#ifdef LOCK_TRY
    row.row = "try and drop, free";
    row.body = lock_try_pair;
    gb_add(&row);
#endif
    row.threads = 2;
    row.batch = 1; /* window */
    row.row = "a counter under the lock";
    row.body = lock_short;
    gb_add(&row);
    row.row = "an increment inside, 200 steps outside";
    row.body = lock_mostly_outside;
    gb_add(&row);
    row.row = "64 steps inside, 64 outside";
    row.body = lock_work;
    gb_add(&row);
#ifndef LOCK_FIFO_SPIN
    row.threads = 8;
    gb_add(&row);
#endif
#ifdef LOCK_BLOCKS
    row.threads = 8;
    row.row = "1000 steps inside";
    row.body = lock_long_inside;
    gb_add(&row);
    row.body = lock_work;
    if (bench_python_parallel()) {
        row.threads = 2;
        row.setup = lock_setup_attached;
        row.row = "64 steps inside, 64 outside, attached";
        gb_add(&row);
        row.row = "a counter under the lock, attached";
        row.body = lock_short;
        gb_add(&row);
    }
#endif
#endif
    lock_add_biased(LOCK_BESIDE);
}
