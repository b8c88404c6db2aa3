/* SPDX-License-Identifier: BSD-2-Clause */
/* Rounds one right after the other; and rounds that are broken in every way: as many pass as there
 * are parties, each with an index of its own, or none. */
#include <latchwork/barrier.h>

#include "stress.h"

#include <string.h>

enum { TEAM = 4, CROWD = 6, PARTIES = 3 };

static lw_barrier_t barrier;
static uint64_t written[TEAM]; /* plain: what a thread did before its wait */
static uint64_t acted;
static bool over;

static bool act(void *arg)
{
    int i;
    (void)arg;
    for (i = 1; i < TEAM; i++) {
        CHECK_EQ(written[i], written[0]);
    }
    acted++;
    over = !stress_running();
    return true;
}

static void go_round(void *arg)
{
    int me = *(const int *)arg, i;
    watchdog_slot *slot = watchdog_enter("team", me);
    uint64_t round;
    for (round = 1;; round++) {
        bool stop;
        watchdog_tick(slot, "waits", lw_park_beside_(&barrier));
        written[me] = round;
        CHECK_EQ(lw_barrier_wait_then(&barrier, act, NULL, -1, LW_WAIT_DEFAULT, NULL), LW_OK);
        for (i = 0; i < TEAM; i++) {
            CHECK_EQ(written[i], round);
        }
        CHECK_EQ(acted, round);
        stop = over;
        CHECK_EQ(lw_barrier_wait(&barrier, NULL), LW_OK);
        if (stop) {
            break;
        }
    }
    watchdog_leave(slot);
}

static uint64_t rounds(void)
{
    int numbers[TEAM] = {0, 1, 2, 3};
    lw_barrier_init(&barrier, TEAM);
    support_run(TEAM, go_round, numbers, sizeof numbers[0]);
    CHECK_EQ(lw_barrier_waiting(&barrier), 0);
    return acted;
}

/* ---- Broken in every way ---- */

static lw_barrier_t fragile;
static lw_atomic_u64 passed, by_index[PARTIES];
static uint64_t tripped; /* plain: one action at a time */

static bool count_trip(void *arg)
{
    stress_worker *w = (stress_worker *)arg;
    uint64_t before = tripped;
    stress_dawdle(&w->random);
    CHECK_EQ(tripped, before);
    tripped = before + 1;
    return true;
}

static void wait_or_break(stress_worker *w)
{
    while (stress_running()) {
        uint32_t index = PARTIES;
        lw_status status;
        watchdog_tick(w->slot, "waits or breaks", lw_park_beside_(&fragile));
        switch (support_below(&w->random, 40)) {
        case 0:
            lw_barrier_abort(&fragile);
            break;
        case 1:
            lw_barrier_reset(&fragile);
            break;
        default:
            break;
        }
        status = lw_barrier_wait_then(&fragile, count_trip, w,
                                      (int64_t)support_below(&w->random, 200000), LW_WAIT_DEFAULT,
                                      &index);
        if (status == LW_OK) {
            CHECK(index < PARTIES);
            (void)lw_atomic_add_relaxed_u64(&by_index[index], 1);
            (void)lw_atomic_add_relaxed_u64(&passed, 1);
            w->operations++;
        } else {
            CHECK(status == LW_TIMEOUT || status == LW_BROKEN);
            CHECK_EQ(index, PARTIES);
            lw_barrier_reset(&fragile);
        }
    }
}

/* The action's trips are more by those that an abort or a reset took while it ran: they let nobody
 * pass. */
static uint64_t broken(void)
{
    uint64_t operations, i;
    lw_barrier_init(&fragile, PARTIES);
    operations = stress_workers("party", CROWD, wait_or_break);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&passed), operations);
    for (i = 0; i < PARTIES; i++) {
        CHECK_EQ(lw_atomic_load_relaxed_u64(&by_index[i]) * PARTIES, operations);
    }
    CHECK(operations <= tripped * PARTIES);
    CHECK_EQ(lw_barrier_waiting(&fragile), 0);
    return operations;
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"rounds", rounds}, {"broken", broken}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
