/* SPDX-License-Identifier: BSD-2-Clause */
/* Exclusion through levels, saved and restored; and that a thread never takes itself for the owner
 * when it is not. */
#include <latchwork/rmutex.h>

#include "stress.h"

enum { THREADS = 6, LOCKS = 3 };

/* `owner` and `count` are plain: ThreadSanitizer sees an unlock that does not release. */
typedef struct guarded {
    lw_rmutex_t mutex;
    int owner;
    uint64_t count;
} guarded;

static guarded locks[LOCKS];

static bool take(stress_worker *w, lw_rmutex_t *m)
{
    watchdog_tick(w->slot, "locks", m);
    switch (support_below(&w->random, 4)) {
    case 0:
        return lw_rmutex_trylock(m);
    case 1:
        return lw_rmutex_lock_for(m, (int64_t)support_below(&w->random, 100000)) == LW_OK;
    case 2:
        return lw_rmutex_lock_flags(m, 2000000, LW_WAIT_ATTACHED) == LW_OK;
    default:
        lw_rmutex_lock(m);
        return true;
    }
}

static void be_inside(stress_worker *w, guarded *g)
{
    CHECK_EQ(g->owner, 0);
    g->owner = w->number + 1;
    g->count++;
    stress_dawdle(&w->random);
    CHECK_EQ(g->owner, w->number + 1);
    g->owner = 0;
    w->operations++;
}

static void lock_and_check(stress_worker *w)
{
    int i, turns = (int)support_below(&w->random, 2000);
    /* Threads come and go: their numbers are used again. */
    for (i = 0; i < turns && stress_running(); i++) {
        guarded *g = &locks[support_below(&w->random, LOCKS)];
        uint32_t level, levels = 1 + (uint32_t)support_below(&w->random, 4);
        CHECK(!lw_rmutex_is_owned(&g->mutex));
        if (!take(w, &g->mutex)) {
            continue;
        }
        for (level = 1; level < levels; level++) {
            CHECK(take(w, &g->mutex)); /* at once: it is the owner */
        }
        be_inside(w, g);
        if (support_below(&w->random, 3) == 0) {
            CHECK_EQ(lw_rmutex_save(&g->mutex), levels);
            CHECK(!lw_rmutex_is_owned(&g->mutex));
            stress_dawdle(&w->random);
            watchdog_tick(w->slot, "restores", &g->mutex);
            lw_rmutex_restore(&g->mutex, levels, LW_WAIT_DEFAULT);
            be_inside(w, g);
        }
        CHECK_EQ(lw_rmutex_depth(&g->mutex), levels);
        for (level = 0; level < levels; level++) {
            lw_rmutex_unlock(&g->mutex);
        }
    }
}

static uint64_t exclusion(void)
{
    uint64_t operations = stress_workers("locker", THREADS, lock_and_check), sum = 0;
    int i;
    for (i = 0; i < LOCKS; i++) {
        CHECK(!lw_rmutex_is_locked(&locks[i].mutex));
        CHECK_EQ(lw_atomic_load_relaxed_u64(&locks[i].mutex.owner), 0);
        CHECK_EQ(support_waiters(&locks[i].mutex.mutex), 0);
        sum += locks[i].count;
    }
    CHECK_EQ(sum, operations);
    return operations;
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"exclusion", exclusion}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
