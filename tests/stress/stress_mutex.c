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

static void lock_and_check(stress_worker *w)
{
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
    support_start(&sender, send_signals, NULL);
    operations = stress_workers("locker", THREADS, lock_and_check);
    __atomic_store_n(&signal_stop, 1, __ATOMIC_RELAXED);
    support_join(&sender);
    for (i = 0; i < LOCKS; i++) {
        CHECK_EQ(lw_atomic_load_relaxed_u32(&locks[i].mutex.word), 0);
        CHECK_EQ(support_waiters(&locks[i].mutex), 0);
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

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"exclusion", exclusion},
                                        {"freed_by_next_owner", freed_by_next_owner}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
