/* SPDX-License-Identifier: BSD-2-Clause */
/* Exclusion of readers and writers, lost wake-ups, starvation, and memory that the next owner
 * frees. */
#include <latchwork/rwlock.h>

#include "stress.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 6, LOCKS = 3 };

/* What a lock guards. All but the lock is plain: ThreadSanitizer sees an unlock that does not
 * release. Readers check that the two agree. */
typedef struct guarded {
    lw_rwlock_t lock;
    int owner;
    uint64_t count;
    uint64_t mirror;
} guarded;

static guarded locks[LOCKS];

static bool take(stress_worker *w, lw_rwlock_t *l, bool writes)
{
    int64_t ns = -1;
    unsigned flags = LW_WAIT_DEFAULT;
    watchdog_tick(w->slot, writes ? "write-locks" : "read-locks", l);
    switch (support_below(&w->random, 6)) {
    case 0:
        ns = 0;
        break;
    case 1:
        ns = (int64_t)support_below(&w->random, 100000);
        break;
    case 2:
        flags = LW_WAIT_INTERRUPTIBLE | LW_WAIT_ATTACHED;
        break;
    case 3:
        ns = 2000000;
        flags = LW_WAIT_ATTACHED;
        break;
    default:
        break;
    }
    return (writes ? lw_rwlock_write_lock_flags(l, ns, flags)
                   : lw_rwlock_read_lock_flags(l, ns, flags)) == LW_OK;
}

/* Signals are for the lockers, as in stress_mutex.c. */
static void take_signals(bool yes)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(pthread_sigmask(yes ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL), 0);
}

static void read_it(const guarded *g, stress_worker *w)
{
    uint64_t count = g->count;
    CHECK_EQ(g->owner, 0);
    CHECK_EQ(g->mirror, count);
    stress_dawdle(&w->random);
    CHECK_EQ(g->count, count);
}

static void write_it(guarded *g, stress_worker *w)
{
    CHECK_EQ(g->owner, 0);
    CHECK_EQ(g->count, g->mirror);
    g->owner = w->number + 1;
    g->count++;
    stress_dawdle(&w->random);
    CHECK(!lw_rwlock_read_trylock(&g->lock));
    CHECK(!lw_rwlock_write_trylock(&g->lock));
    CHECK_EQ(g->owner, w->number + 1);
    g->mirror++;
    g->owner = 0;
}

static uint64_t written;

static void lock_and_check(stress_worker *w)
{
    uint64_t writes = 0;
    int i;
    take_signals(true);
    while (stress_running()) {
        for (i = 0; i < 100; i++) {
            guarded *g = &locks[support_below(&w->random, LOCKS)];
            if (support_below(&w->random, 3) != 0) {
                if (!take(w, &g->lock, false)) {
                    continue;
                }
                read_it(g, w);
                if (support_below(&w->random, 4) != 0 || !lw_rwlock_try_upgrade(&g->lock)) {
                    lw_rwlock_read_unlock(&g->lock);
                    w->operations++;
                    continue;
                }
            } else if (!take(w, &g->lock, true)) {
                continue;
            }
            write_it(g, w);
            writes++;
            if (support_below(&w->random, 3) == 0) {
                uint64_t count = g->count;
                lw_rwlock_downgrade(&g->lock);
                CHECK_EQ(g->count, count);
                read_it(g, w);
                lw_rwlock_read_unlock(&g->lock);
            } else {
                lw_rwlock_write_unlock(&g->lock);
            }
            w->operations++;
            stress_dawdle(&w->random);
        }
    }
    take_signals(false);
    (void)__atomic_add_fetch(&written, writes, __ATOMIC_RELAXED);
}

static void *hook_before(void)
{
    return &locks;
}

static void hook_after(void *token)
{
    CHECK(token == &locks);
}

static const lw_block_hooks hooks = {hook_before, hook_after};

static void on_signal(int number)
{
    (void)number;
}

static int signal_stop;

static void send_signals(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&signal_stop, __ATOMIC_RELAXED)) {
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        support_sleep(500000);
    }
}

static uint64_t exclusion(void)
{
    struct sigaction action;
    support_thread sender;
    uint64_t operations, sum = 0;
    int i;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    lw_domain_set_block_hooks(&hooks);
    take_signals(false);
    support_start(&sender, send_signals, NULL);
    operations = stress_workers("locker", THREADS, lock_and_check);
    __atomic_store_n(&signal_stop, 1, __ATOMIC_RELAXED);
    support_join(&sender);
    for (i = 0; i < LOCKS; i++) {
        CHECK_EQ(lw_atomic_load_relaxed_u32(&locks[i].lock.word), 0);
        CHECK_EQ(support_waiters(&locks[i].lock), 0);
        CHECK_EQ(support_waiters(lw_park_late_(&locks[i].lock)), 0);
        sum += locks[i].count;
    }
    CHECK_EQ(sum, written);
    return operations;
}

/* ---- Nobody starves: one writer among readers that never leave the lock empty, one reader among
 * writers ---- */

static lw_rwlock_t crowded;

static void crowd(stress_worker *w, bool reads)
{
    int i;
    while (stress_running()) {
        watchdog_tick(w->slot, reads ? "reads in a crowd" : "writes in a crowd", &crowded);
        for (i = 0; i < 50; i++) {
            if (reads) {
                lw_rwlock_read_lock(&crowded);
                stress_dawdle(&w->random);
                lw_rwlock_read_unlock(&crowded);
            } else {
                lw_rwlock_write_lock(&crowded);
                stress_dawdle(&w->random);
                lw_rwlock_write_unlock(&crowded);
            }
            w->operations++;
        }
    }
}

static void one_writer(stress_worker *w)
{
    crowd(w, w->number % THREADS != 0);
}

static void one_reader(stress_worker *w)
{
    crowd(w, w->number % THREADS == 0);
}

static uint64_t writer_among_readers(void)
{
    return stress_workers("locker", THREADS, one_writer);
}

static uint64_t reader_among_writers(void)
{
    return stress_workers("locker", THREADS, one_reader);
}

/* ---- The last user frees the lock that it just unlocked ---- */

typedef struct shared_object {
    lw_rwlock_t lock;
    int users;
} shared_object;

enum { TEAM = 3 };

static shared_object *current;
static pthread_barrier_t handed_out;
static int team_stop;

static void use_and_free(void *arg)
{
    stress_worker w;
    memset(&w, 0, sizeof w);
    w.number = *(int *)arg;
    w.random = support_random_new(support_seed(), (uint64_t)w.number);
    w.slot = watchdog_enter("sharer", w.number);
    for (;;) {
        shared_object *o;
        bool last;
        if (w.number == 0) {
            team_stop = !stress_running();
            current = (shared_object *)calloc(1, sizeof *current);
            CHECK(current != NULL);
            current->users = TEAM;
        }
        pthread_barrier_wait(&handed_out);
        if (team_stop) {
            break;
        }
        o = current;
        watchdog_tick(w.slot, "locks what may be freed", o);
        if (support_below(&w.random, 2) == 0) {
            lw_rwlock_write_lock(&o->lock);
            last = __atomic_sub_fetch(&o->users, 1, __ATOMIC_RELAXED) == 0;
            stress_dawdle(&w.random);
            lw_rwlock_write_unlock(&o->lock);
        } else {
            /* Who gives up and comes back may find it free while the unlock is still under way. */
            while (lw_rwlock_read_lock_for(&o->lock, (int64_t)support_below(&w.random, 60000)) !=
                   LW_OK) {
            }
            last = __atomic_sub_fetch(&o->users, 1, __ATOMIC_RELAXED) == 0;
            stress_dawdle(&w.random);
            lw_rwlock_read_unlock(&o->lock);
        }
        if (last) {
            lw_rwlock_write_lock(&o->lock);
            lw_rwlock_write_unlock(&o->lock);
            memset(o, 0xdd, sizeof *o);
            free(o);
        }
        w.operations++;
        pthread_barrier_wait(&handed_out);
    }
    watchdog_leave(w.slot);
    ((int *)arg)[TEAM] = (int)w.operations;
}

static uint64_t freed_by_next_owner(void)
{
    int numbers[2 * TEAM] = {0, 1, 2, 0, 0, 0};
    pthread_barrier_init(&handed_out, NULL, TEAM);
    support_run(TEAM, use_and_free, numbers, sizeof numbers[0]);
    pthread_barrier_destroy(&handed_out);
    free(current);
    return (uint64_t)numbers[TEAM] * TEAM;
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"exclusion", exclusion},
                                        {"writer_among_readers", writer_among_readers},
                                        {"reader_among_writers", reader_among_writers},
                                        {"freed_by_next_owner", freed_by_next_owner}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
