/* SPDX-License-Identifier: BSD-2-Clause */
/* Exclusion while the bias comes and goes, lost wake-ups, and memory that the next owner frees. */
#include <latchwork/biased_mutex.h>

#include "stress.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 5, LOCKS = 3 };

/* What a mutex guards. `owner` and `count` are plain: ThreadSanitizer sees an unlock that does not
 * release. */
typedef struct guarded {
    lw_biased_mutex_t mutex;
    int owner;
    uint64_t count;
} guarded;

static guarded locks[LOCKS];

static bool is_biased(const lw_biased_mutex_t *m)
{
    void *word = lw_atomic_load_relaxed_ptr(&m->word);
    return word != NULL && ((uintptr_t)word & LW_BIASED_STATE_) == LW_BIASED_TO_;
}

static void check_quiet(const lw_biased_mutex_t *m)
{
    CHECK(!lw_biased_mutex_is_locked(m));
    CHECK_EQ(support_waiters(m) + support_waiters(lw_biased_mutex_exit_(m)), 0);
    CHECK_EQ(support_announced(m), 0);
    CHECK_EQ(lw_biased_mutex_awaited_(), 0);
}

static bool take(stress_worker *w, lw_biased_mutex_t *m)
{
    watchdog_tick(w->slot, "locks", m);
    switch (support_below(&w->random, 6)) {
    case 0:
        return lw_biased_mutex_trylock(m);
    case 1:
        return lw_biased_mutex_lock_for(m, (int64_t)support_below(&w->random, 100000)) == LW_OK;
    case 2:
        return lw_biased_mutex_lock_flags(m, -1, LW_WAIT_INTERRUPTIBLE | LW_WAIT_ATTACHED) == LW_OK;
    case 3:
        return lw_biased_mutex_lock_flags(m, 2000000, LW_WAIT_ATTACHED) == LW_OK;
    default:
        lw_biased_mutex_lock(m);
        return true;
    }
}

static void use(stress_worker *w, guarded *g, bool slowly)
{
    CHECK_EQ(g->owner, 0);
    g->owner = w->number + 1;
    g->count++;
    if (slowly) {
        stress_dawdle(&w->random);
        CHECK(lw_biased_mutex_is_locked(&g->mutex));
        CHECK(!lw_biased_mutex_trylock(&g->mutex));
    }
    CHECK_EQ(g->owner, w->number + 1);
    g->owner = 0;
    lw_biased_mutex_unlock(&g->mutex);
    w->operations++;
}

/* Signals are for the lockers (stress_mutex.c). */
static void take_signals(bool yes)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(pthread_sigmask(yes ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL), 0);
}

/* Many turns in a row, for the bias; or a few, to take it away; or of two mutexes at once. Some
 * threads end with the bias. */
static void lock_and_check(stress_worker *w)
{
    int turns = (int)support_below(&w->random, 400);
    take_signals(true);
    while (stress_running() && turns-- > 0) {
        guarded *g = &locks[support_below(&w->random, LOCKS)];
        uint64_t n = support_below(&w->random, 4) == 0 ? 300 : support_below(&w->random, 10);
        for (; n != 0; n--) {
            if (take(w, &g->mutex)) {
                use(w, g, n % 8 == 0);
            }
        }
        if (g < &locks[LOCKS - 1] && take(w, &g->mutex)) {
            if (take(w, &g[1].mutex)) {
                use(w, &g[1], true);
            }
            use(w, g, true);
        }
        stress_dawdle(&w->random);
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
        check_quiet(&locks[i].mutex);
        sum += locks[i].count;
    }
    CHECK_EQ(sum, operations);
    return operations;
}

/* ---- The last user frees the mutex that another has just left by its bias: unlock must touch
 * nothing of it after the release ---- */

typedef struct shared_object {
    lw_biased_mutex_t mutex;
    int users;
    uint64_t magic;
} shared_object;

#define MAGIC UINT64_C(0x11223344aabbccdd)

enum { TEAM = 3, TURNS = 70 };

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
            int i;
            team_stop = !stress_running();
            current = (shared_object *)calloc(1, sizeof *current);
            CHECK(current != NULL);
            current->users = TEAM;
            current->magic = MAGIC;
            for (i = 0; i < TURNS; i++) { /* now it has the bias */
                lw_biased_mutex_lock(&current->mutex);
                lw_biased_mutex_unlock(&current->mutex);
            }
        }
        pthread_barrier_wait(&handed_out);
        if (team_stop) {
            break;
        }
        o = current;
        watchdog_tick(w.slot, "locks what may be freed", o);
        lw_biased_mutex_lock(&o->mutex);
        CHECK_EQ(o->magic, MAGIC);
        last = --o->users == 0;
        stress_dawdle(&w.random);
        lw_biased_mutex_unlock(&o->mutex);
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

/* ---- The bias is taken away while its thread enters: one of the two sees the other ---- */

/* Stores that miss the caches: the store into the slot waits behind them, and the look at the word
 * does not. */
enum { COLD_LINES = 1 << 20, COLD_STORES = 48, COLD_ENTRIES = 12 };
static unsigned char cold[COLD_LINES][64];

static lw_biased_mutex_t contended;
static int inside; /* how many are */
static int round_number;

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

static void be_inside(stress_worker *w)
{
    /* No locked operation, which would empty the store buffer. */
    CHECK_EQ(__atomic_load_n(&inside, __ATOMIC_RELAXED), 0);
    __atomic_store_n(&inside, w->number + 1, __ATOMIC_RELAXED);
    spin(w->number == 0 ? 0 : support_below(&w->random, 3000));
    CHECK_EQ(__atomic_load_n(&inside, __ATOMIC_RELAXED), w->number + 1);
    __atomic_store_n(&inside, 0, __ATOMIC_RELAXED);
    w->operations++;
}

/* The mutex is biased to the first of the two again in each round, as if it had locked it often. It
 * enters a few times behind stores that miss the caches, or over and over, to be interrupted by the
 * barrier anywhere. */
static void enter_beside(stress_worker *w, int round)
{
    bool is_cold = round % 2 == 0;
    int i;
    if (w->number == 0) {
        lw_biased_mutex_lock(&contended);
        if (!is_biased(&contended)) {
            contended.run = 1 << 20;
        }
        lw_biased_mutex_unlock(&contended);
        __atomic_store_n(&round_number, 2 * round + 1, __ATOMIC_RELEASE);
        for (i = 0; i < COLD_ENTRIES || !is_cold; i++) {
            if (is_cold) {
                store_to_cold_lines(w);
            } else if (__atomic_load_n(&round_number, __ATOMIC_RELAXED) == 2 * round + 2) {
                break;
            }
            lw_biased_mutex_lock(&contended);
            be_inside(w);
            lw_biased_mutex_unlock(&contended);
        }
        while (__atomic_load_n(&round_number, __ATOMIC_ACQUIRE) != 2 * round + 2) {
            lw_cpu_relax();
        }
    } else {
        while (__atomic_load_n(&round_number, __ATOMIC_ACQUIRE) != 2 * round + 1) {
            lw_cpu_relax();
        }
        spin(support_below(&w->random, 3000));
        lw_biased_mutex_lock(&contended);
        be_inside(w);
        lw_biased_mutex_unlock(&contended);
        __atomic_store_n(&round_number, 2 * round + 2, __ATOMIC_RELEASE);
    }
}

/* Both go through the same number of rounds. */
static int last_round = 1 << 30;

static void entering_pair(stress_worker *w)
{
    int round;
    support_keep_apart(w->number);
    for (round = 0; round < __atomic_load_n(&last_round, __ATOMIC_ACQUIRE); round++) {
        watchdog_tick(w->slot, w->number == 0 ? "enters" : "takes the bias away", &contended);
        if (w->number == 0 && !stress_running()) {
            __atomic_store_n(&last_round, round + 1, __ATOMIC_RELEASE);
        }
        enter_beside(w, round);
    }
}

static uint64_t taken_away(void)
{
    uint64_t operations = stress_workers("one of a pair", 2, entering_pair);
    check_quiet(&contended);
    return operations;
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"exclusion", exclusion},
                                        {"freed_by_next_owner", freed_by_next_owner},
                                        {"taken_away", taken_away}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
