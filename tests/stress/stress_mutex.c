/* SPDX-License-Identifier: BSD-2-Clause */
/* Exclusion, lost wake-ups, and memory that the next owner frees. */
#include <latchwork/mutex.h>

#include "stress.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 6, LOCKS = 3 };

/* What a mutex guards. `owner` and `count` are plain: ThreadSanitizer sees an unlock that does not
 * release. */
typedef struct guarded {
    lw_mutex_t mutex;
    int owner;
    uint64_t count;
} guarded;

static guarded locks[LOCKS];

static bool take(stress_worker *w, lw_mutex_t *m)
{
    watchdog_tick(w->slot, "locks", m);
    switch (support_below(&w->random, 6)) {
    case 0:
        return lw_mutex_trylock(m);
    case 1:
        return lw_mutex_lock_for(m, (int64_t)support_below(&w->random, 100000)) == LW_OK;
    case 2:
        return lw_mutex_lock_flags(m, -1, LW_WAIT_INTERRUPTIBLE | LW_WAIT_ATTACHED) == LW_OK;
    case 3:
        return lw_mutex_lock_flags(m, 2000000, LW_WAIT_ATTACHED) == LW_OK;
    default:
        lw_mutex_lock(m);
        return true;
    }
}

/* Signals are for the lockers: in a thread that joins others, ThreadSanitizer's free may be
 * interrupted by a handler, which then waits for a lock that this free holds. */
static void take_signals(bool yes)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(pthread_sigmask(yes ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL), 0);
}

static void lock_and_check(stress_worker *w)
{
    take_signals(true);
    while (stress_running()) {
        int i;
        for (i = 0; i < 100; i++) {
            guarded *g = &locks[support_below(&w->random, LOCKS)];
            if (!take(w, &g->mutex)) {
                continue;
            }
            CHECK_EQ(g->owner, 0);
            g->owner = w->number + 1;
            g->count++;
            stress_dawdle(&w->random);
            CHECK(lw_mutex_is_locked(&g->mutex));
            CHECK(!lw_mutex_trylock(&g->mutex));
            CHECK_EQ(g->owner, w->number + 1);
            g->owner = 0;
            lw_mutex_unlock(&g->mutex);
            w->operations++;
            stress_dawdle(&w->random);
        }
    }
    take_signals(false);
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

/* Signals come at random: the process gets them, the kernel picks a thread. */
static int signal_stop;

static void send_signals(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&signal_stop, __ATOMIC_RELAXED)) {
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        support_sleep(500000);
    }
}

static lw_atomic_u32 *flags_of(const lw_mutex_t *m)
{
    lw_atomic_u32 *flags = (lw_atomic_u32 *)lw_atomic_load_acquire_ptr(&lw_park_flags_);
    return &flags[lw_park_index_(m)];
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
        CHECK_EQ(lw_atomic_load_relaxed_u32(&locks[i].mutex.word), 0);
        CHECK_EQ(support_waiters(&locks[i].mutex), 0);
        CHECK_EQ(lw_atomic_load_relaxed_u32(flags_of(&locks[i].mutex)) & ~(uint32_t)LW_PARK_FENCED_,
                 0);
        sum += locks[i].count;
    }
    CHECK_EQ(sum, operations);
    return operations;
}

/* ---- The last user frees the mutex that it just unlocked: unlock must touch nothing after the
 * release ---- */

typedef struct shared_object {
    lw_mutex_t mutex;
    int users;
    uint64_t magic;
} shared_object;

#define MAGIC UINT64_C(0x11223344aabbccdd)

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
            current->magic = MAGIC;
        }
        pthread_barrier_wait(&handed_out);
        if (team_stop) {
            break;
        }
        o = current;
        watchdog_tick(w.slot, "locks what may be freed", o);
        lw_mutex_lock(&o->mutex);
        CHECK_EQ(o->magic, MAGIC);
        last = --o->users == 0;
        stress_dawdle(&w.random);
        lw_mutex_unlock(&o->mutex);
        if (last) {
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

/* ---- The quick way of unlock, while somebody begins to wait: no wake-up gets lost. It is opened
 * again in each round, as park.c does after a while. ---- */

static lw_mutex_t quick;
static int quick_round, quick_stop;
static bool has_quick_way; /* membarrier */

static void open_quick_way(const lw_mutex_t *m)
{
    uint32_t fenced = LW_PARK_FENCED_;
    CHECK(!has_quick_way || lw_atomic_cas_relaxed_u32(flags_of(m), &fenced, 0) || fenced == 0);
}

/* Stores that miss the caches: an unlock's store waits behind them, and its look does not. */
enum { COLD_LINES = 1 << 20, COLD_STORES = 48 };
static unsigned char cold[COLD_LINES][64];

static void store_to_cold_lines(stress_worker *w)
{
    uint64_t i, at = support_next(&w->random);
    for (i = 0; i < COLD_STORES; i++) {
        cold[(at + i * 4099) % COLD_LINES][0] = (unsigned char)i;
    }
}

static void spin(uint64_t n)
{
    volatile uint64_t left = n;
    while (left != 0) {
        left--;
    }
}

/* Holds the lock for about as long as the other one looks at it before it sleeps. */
static void hold_for_a_while(stress_worker *w)
{
    int i;
    for (i = 0; i < 100; i++) {
        if (w->number == 0) {
            lw_mutex_lock(&quick);
            __atomic_store_n(&quick_round, 1, __ATOMIC_RELEASE);
            spin(support_below(&w->random, 2000));
            store_to_cold_lines(w);
            lw_mutex_unlock(&quick);
            while (__atomic_load_n(&quick_round, __ATOMIC_ACQUIRE) != 0) {
                lw_cpu_relax();
            }
            open_quick_way(&quick);
        } else {
            while (__atomic_load_n(&quick_round, __ATOMIC_ACQUIRE) == 0 &&
                   !__atomic_load_n(&quick_stop, __ATOMIC_RELAXED)) {
                lw_cpu_relax();
            }
            lw_mutex_lock(&quick);
            lw_mutex_unlock(&quick);
            __atomic_store_n(&quick_round, 0, __ATOMIC_RELEASE);
        }
    }
    w->operations += 100;
}

static void quick_pair(stress_worker *w)
{
    support_keep_apart(w->number);
    if (w->number == 0) {
        while (stress_running()) {
            watchdog_tick(w->slot, "holds", &quick);
            hold_for_a_while(w);
        }
        __atomic_store_n(&quick_stop, 1, __ATOMIC_RELAXED);
    } else {
        while (!__atomic_load_n(&quick_stop, __ATOMIC_RELAXED)) {
            watchdog_tick(w->slot, "waits for", &quick);
            hold_for_a_while(w);
        }
    }
}

static uint64_t quick_way(void)
{
    (void)lw_domain_get();
    has_quick_way = !lw_park_announced_(&quick);
    return stress_workers("one of a pair", 2, quick_pair);
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"exclusion", exclusion},
                                        {"freed_by_next_owner", freed_by_next_owner},
                                        {"quick_way", quick_way}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
