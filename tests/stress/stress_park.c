/* SPDX-License-Identifier: BSD-2-Clause */
/* Wake-ups: none lost, none invented, with time-outs and direct hand-over. */
#include <latchwork/park.h>

#include "stress.h"

#include <string.h>

enum { THREADS = 5 };

/* ---- A token goes round; whoever does not have it sleeps ---- */

static lw_atomic_u32 token;
static uint32_t token_payload; /* plain: belongs to whoever has the token */
static uint32_t ring_end;      /* the token's last round begins with this */

static void pass_token(void *arg)
{
    uint32_t me = *(uint32_t *)arg, passed = 0;
    support_random random = support_random_new(support_seed(), me);
    watchdog_slot *slot = watchdog_enter("passer", (int)me);
    for (;;) {
        uint32_t seen = lw_atomic_load_acquire_u32(&token);
        bool last;
        watchdog_tick(slot, "waits for the token", &token);
        if (seen % THREADS != me) {
            int64_t limit =
                support_below(&random, 3) == 0 ? (int64_t)support_below(&random, 200000) : -1;
            (void)lw_park_wait_u32(&token, seen, limit, LW_WAIT_DEFAULT);
            continue;
        }
        CHECK_EQ(token_payload, seen);
        if (me == 0 && seen != 0 && !stress_running()) {
            ring_end = seen;
        }
        last = ring_end != 0;
        passed++;
        token_payload = seen + 1;
        lw_atomic_store_release_u32(&token, seen + 1);
        (void)lw_unpark_all(&token, 0);
        if (last) {
            break;
        }
    }
    watchdog_leave(slot);
    ((uint32_t *)arg)[THREADS] = passed;
}

static uint64_t ring(void)
{
    uint32_t numbers[2 * THREADS] = {0, 1, 2, 3, 4, 0, 0, 0, 0, 0};
    uint64_t passed = 0;
    int i;
    lw_atomic_store_relaxed_u32(&token, 0);
    support_run(THREADS, pass_token, numbers, sizeof numbers[0]);
    for (i = 0; i < THREADS; i++) {
        passed += numbers[THREADS + i];
    }
    CHECK_EQ(passed, lw_atomic_load_relaxed_u32(&token));
    return passed;
}

/* ---- A lock made of park alone, which hands itself over by the token of the wake ---- */

enum { FREE = 0, HELD = 1, WAITED = 2 };

typedef struct fair_lock {
    lw_atomic_u32 word;
} fair_lock;

static bool fair_validate(void *arg)
{
    return lw_atomic_load_relaxed_u32(&((fair_lock *)arg)->word) == (HELD | WAITED);
}

static void fair_leave(void *arg, bool last)
{
    if (last) {
        (void)lw_atomic_and_relaxed_u32(&((fair_lock *)arg)->word, ~(uint32_t)WAITED);
    }
}

static bool fair_take(fair_lock *lock, int64_t timeout_ns)
{
    for (;;) {
        uint32_t word = FREE;
        uintptr_t handed = 0;
        lw_status status;
        if (lw_atomic_cas_acquire_u32(&lock->word, &word, HELD)) {
            return true;
        }
        if ((word & WAITED) == 0 && !lw_atomic_cas_relaxed_u32(&lock->word, &word, word | WAITED)) {
            continue;
        }
        status =
            lw_park(lock, fair_validate, fair_leave, lock, timeout_ns, LW_WAIT_DEFAULT, &handed);
        if (status == LW_OK) {
            CHECK_EQ(handed, 1);
            return true; /* it is ours already */
        }
        if (status != LW_AGAIN) {
            CHECK_EQ(status, LW_TIMEOUT);
            return false;
        }
    }
}

static uintptr_t fair_decide(void *arg, lw_unpark_result result)
{
    fair_lock *lock = (fair_lock *)arg;
    uint32_t word = result.woken ? HELD | (result.more ? WAITED : 0) : FREE;
    lw_atomic_store_release_u32(&lock->word, word);
    return result.woken;
}

static void fair_drop(fair_lock *lock)
{
    uint32_t word = HELD;
    if (!lw_atomic_cas_release_u32(&lock->word, &word, FREE)) {
        (void)lw_unpark_one(lock, fair_decide, lock);
    }
}

static fair_lock fair;
static int fair_owner;
static uint64_t fair_count;

static void use_fair_lock(stress_worker *w)
{
    while (stress_running()) {
        int64_t limit =
            support_below(&w->random, 2) == 0 ? -1 : (int64_t)support_below(&w->random, 100000);
        watchdog_tick(w->slot, "waits for a hand-over", &fair);
        if (!fair_take(&fair, limit)) {
            continue;
        }
        CHECK_EQ(fair_owner, 0);
        fair_owner = w->number + 1;
        fair_count++;
        stress_dawdle(&w->random);
        CHECK_EQ(fair_owner, w->number + 1);
        fair_owner = 0;
        fair_drop(&fair);
        w->operations++;
        stress_dawdle(&w->random);
    }
}

static uint64_t hand_over(void)
{
    uint64_t operations = stress_workers("user", THREADS, use_fair_lock);
    CHECK_EQ(operations, fair_count);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&fair.word), FREE);
    CHECK_EQ(support_waiters(&fair), 0);
    return operations;
}

/* ---- Each wake is answered by one waiter that says LW_OK ---- */

static lw_atomic_u32 gate;
static uint64_t wakes, answers;

static void wait_or_wake(stress_worker *w)
{
    uint64_t woken = 0, answered = 0;
    while (stress_running()) {
        watchdog_tick(w->slot, "waits at the gate", &gate);
        if (w->number % 2 == 0) {
            woken += support_below(&w->random, 4) == 0 ? lw_unpark_all(&gate, 1)
                                                       : lw_unpark_one(&gate, NULL, NULL).woken;
            stress_dawdle(&w->random);
        } else {
            lw_status status = lw_park_wait_u32(&gate, 0, (int64_t)support_below(&w->random, 60000),
                                                LW_WAIT_DEFAULT);
            CHECK(status == LW_OK || status == LW_TIMEOUT);
            answered += status == LW_OK;
        }
        w->operations++;
    }
    __atomic_fetch_add(&wakes, woken, __ATOMIC_RELAXED);
    __atomic_fetch_add(&answers, answered, __ATOMIC_RELAXED);
}

static uint64_t wakes_are_answered(void)
{
    uint64_t operations = stress_workers("waiter", THREADS, wait_or_wake);
    CHECK_EQ(wakes, answers);
    CHECK_EQ(support_waiters(&gate), 0);
    return wakes != 0 ? operations : 0;
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {
        {"ring", ring}, {"hand_over", hand_over}, {"wakes_are_answered", wakes_are_answered}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
