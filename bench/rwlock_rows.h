/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one read-write lock. An adapter defines, before it includes this file,
 *   RWLOCK_NAME     the implementation's name
 *   RWLOCK_ID       the same as a C identifier
 *   rwlock_t        its type
 *   rwlock_local    what a thread keeps (its slot, where the lock has slots)
 *   rwlock_init(l), rwlock_fini(l)
 *   rwlock_join(l, c, index), rwlock_leave(l, c)   a thread comes, and goes
 *   rwlock_read(l, c), rwlock_read_drop(l, c), rwlock_write(l, c), rwlock_write_drop(l, c)
 * It may define RWLOCK_AREA, for one of ours: a peer has its rows in both areas. It gets
 * register_RWLOCK_ID(). */
#include "rows.h"

typedef struct rwlock_shared {
    BENCH_CACHE_LINE rwlock_t lock;
    BENCH_CACHE_LINE uint64_t counter;
} rwlock_shared;

typedef struct rwlock_user {
    BENCH_CACHE_LINE rwlock_local local;
    rwlock_shared *shared;
} rwlock_user;

static void *rwlock_setup(int threads)
{
    rwlock_shared *s = (rwlock_shared *)bench_alloc(sizeof *s);
    (void)threads;
    rwlock_init(&s->lock);
    return s;
}

static void rwlock_teardown(void *shared)
{
    rwlock_shared *s = (rwlock_shared *)shared;
    rwlock_fini(&s->lock);
    free(s);
}

static void *rwlock_begin(void *shared, int index)
{
    rwlock_user *u = (rwlock_user *)bench_alloc(sizeof *u);
    u->shared = (rwlock_shared *)shared;
    rwlock_join(&u->shared->lock, &u->local, index);
    return u;
}

static void rwlock_end(void *shared, void *local)
{
    rwlock_user *u = (rwlock_user *)local;
    (void)shared;
    rwlock_leave(&u->shared->lock, &u->local);
    free(u);
}

static uint64_t rwlock_read_pair(void *local, size_t n)
{
    rwlock_user *u = (rwlock_user *)local;
    rwlock_shared *s = u->shared;
    uint64_t sum = 0;
    size_t i;
    for (i = 0; i < n; i++) {
        rwlock_read(&s->lock, &u->local);
        sum += s->counter;
        gb_clobber();
        rwlock_read_drop(&s->lock, &u->local);
    }
    return sum;
}

static uint64_t rwlock_write_pair(void *local, size_t n)
{
    rwlock_user *u = (rwlock_user *)local;
    rwlock_shared *s = u->shared;
    size_t i;
    for (i = 0; i < n; i++) {
        rwlock_write(&s->lock, &u->local);
        s->counter++;
        gb_clobber();
        rwlock_write_drop(&s->lock, &u->local);
    }
    return n;
}

static uint64_t rwlock_mix(void *local, size_t n)
{
    rwlock_user *u = (rwlock_user *)local;
    rwlock_shared *s = u->shared;
    uint64_t seed = 1;
    size_t i;
    for (i = 0; i < n; i++) {
        if (i % 16 == 0) {
            rwlock_write(&s->lock, &u->local);
            s->counter = gb_work(s->counter, 16);
            gb_clobber();
            rwlock_write_drop(&s->lock, &u->local);
        } else {
            rwlock_read(&s->lock, &u->local);
            seed = gb_work(seed + s->counter, 16);
            gb_clobber();
            rwlock_read_drop(&s->lock, &u->local);
        }
        seed = gb_work(seed, 64);
    }
    return seed;
}

static void rwlock_add(const char *area)
{
    gb_row row = {area,         "read pair",     RWLOCK_NAME,  1,          1024,
                  rwlock_setup, rwlock_teardown, rwlock_begin, rwlock_end, rwlock_read_pair};
    gb_add(&row);
    row.row = "write pair";
    row.body = rwlock_write_pair;
    gb_add(&row);
    row.threads = 2;
    row.row = "read pair, on two threads";
    row.body = rwlock_read_pair;
    gb_add(&row);
    row.row = "one write in 16, on two threads";
    row.body = rwlock_mix;
    gb_add(&row);
}

BENCH_REGISTER(RWLOCK_ID)(void)
{
#ifdef RWLOCK_AREA
    rwlock_add(RWLOCK_AREA);
#else
    rwlock_add("rwlocks");
    rwlock_add("shared_rwlocks");
#endif
}
