/* SPDX-License-Identifier: BSD-2-Clause */
/* Nothing taken that was not released, nothing released that nobody can take. */
#include <latchwork/sem.h>

#include "stress.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 6, LOCKS = 2 };

/* A semaphore of value 1 as a lock. `owner` is plain: ThreadSanitizer sees a release that is
 * none. */
typedef struct guarded {
    lw_sem_t sem;
    int owner;
    uint64_t count;
} guarded;

static guarded locks[LOCKS];

static bool take(stress_worker *w, lw_sem_t *s)
{
    watchdog_tick(w->slot, "acquires", s);
    switch (support_below(&w->random, 5)) {
    case 0:
        return lw_sem_try_acquire(s);
    case 1:
        return lw_sem_acquire_for(s, (int64_t)support_below(&w->random, 100000)) == LW_OK;
    case 2:
        return lw_sem_acquire_flags(s, -1, LW_WAIT_INTERRUPTIBLE | LW_WAIT_ATTACHED) == LW_OK;
    default:
        lw_sem_acquire(s);
        return true;
    }
}

/* Signals are for those who acquire (see stress_mutex.c). */
static void take_signals(bool yes)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(pthread_sigmask(yes ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL), 0);
}

static void acquire_and_check(stress_worker *w)
{
    take_signals(true);
    while (stress_running()) {
        guarded *g = &locks[support_below(&w->random, LOCKS)];
        if (!take(w, &g->sem)) {
            continue;
        }
        CHECK_EQ(g->owner, 0);
        g->owner = w->number + 1;
        g->count++;
        stress_dawdle(&w->random);
        CHECK(!lw_sem_try_acquire(&g->sem));
        CHECK_EQ(g->owner, w->number + 1);
        g->owner = 0;
        CHECK_EQ(lw_sem_release_max(&g->sem, 1, 1), LW_OK);
        w->operations++;
        stress_dawdle(&w->random);
    }
    take_signals(false);
}

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
    for (i = 0; i < LOCKS; i++) {
        lw_sem_init(&locks[i].sem, 1);
    }
    take_signals(false);
    support_start(&sender, send_signals, NULL);
    operations = stress_workers("acquirer", THREADS, acquire_and_check);
    __atomic_store_n(&signal_stop, 1, __ATOMIC_RELAXED);
    support_join(&sender);
    for (i = 0; i < LOCKS; i++) {
        CHECK_EQ(lw_atomic_load_relaxed_u32(&locks[i].sem.word), LW_SEM_ONE_);
        sum += locks[i].count;
    }
    CHECK_EQ(sum, operations);
    return operations;
}

/* ---- Several at once: what was released is what was taken, and what is left ---- */

static lw_sem_t goods;
static lw_atomic_u64 released, taken, sellers;

static void buy_or_sell(stress_worker *w)
{
    if (w->number % 2 == 0) {
        (void)lw_atomic_add_relaxed_u64(&sellers, 1);
        while (stress_running()) {
            uint32_t n = 1 + (uint32_t)support_below(&w->random, 4);
            watchdog_tick(w->slot, "releases", &goods);
            if (lw_sem_release_max(&goods, n, 8) == LW_OK) {
                (void)lw_atomic_add_relaxed_u64(&released, n);
                w->operations += n;
            }
            stress_dawdle(&w->random);
        }
        (void)lw_atomic_sub_release_u64(&sellers, 1);
        return;
    }
    while (stress_running() || lw_atomic_load_acquire_u64(&sellers) != 0) {
        lw_status status;
        watchdog_tick(w->slot, "acquires", &goods);
        /* A limit, so that the last buyers come to an end; far beyond what a wake takes. */
        status = lw_sem_acquire_for(&goods, support_below(&w->random, 4) == 0 ? 20000 : 500000000);
        if (status == LW_OK) {
            (void)lw_atomic_add_relaxed_u64(&taken, 1);
        }
    }
}

static uint64_t several_at_once(void)
{
    uint64_t operations = stress_workers("buyer or seller", THREADS, buy_or_sell);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&released), operations);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&released),
             lw_atomic_load_relaxed_u64(&taken) + lw_sem_value(&goods));
    CHECK(lw_sem_value(&goods) <= 8);
    CHECK_EQ(support_waiters(&goods), 0);
    return operations;
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"exclusion", exclusion},
                                        {"several_at_once", several_at_once}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
