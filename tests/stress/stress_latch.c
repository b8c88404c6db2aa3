/* SPDX-License-Identifier: BSD-2-Clause */
/* A latch for each round, which a thread that was let go frees at once. */
#include <latchwork/latch.h>

#include "stress.h"

#include <string.h>

enum { TEAM = 5 };

typedef struct gathering {
    lw_latch_t latch;
    uint64_t round;
} gathering;

static gathering *current;
static pthread_barrier_t handed_out;
static uint64_t written[TEAM]; /* plain: what a thread did before it counted down */

/* By its number, and so known to all: who frees it has to come back after all have arrived. */
static int freed_by(uint64_t round)
{
    return (int)(round % TEAM);
}

static void gather(void *arg)
{
    stress_worker w;
    uint64_t round;
    int i;
    memset(&w, 0, sizeof w);
    w.number = *(int *)arg;
    w.random = support_random_new(support_seed(), (uint64_t)w.number);
    w.slot = watchdog_enter("gatherer", w.number);
    for (round = 1;; round++) {
        gathering *g;
        if (w.number == 0) {
            current = stress_running() ? (gathering *)calloc(1, sizeof *current) : NULL;
            if (current != NULL) {
                current->round = round;
                lw_latch_init(&current->latch, TEAM);
            }
        }
        pthread_barrier_wait(&handed_out);
        g = current;
        if (g == NULL) {
            break;
        }
        watchdog_tick(w.slot, "gathers", lw_park_beside_(&g->latch));
        CHECK_EQ(g->round, round);
        written[w.number] = round;
        stress_dawdle(&w.random);
        if (support_below(&w.random, 3) == 0) {
            /* It cannot be freed yet by another: who frees it waits for this one. */
            if (w.number == freed_by(round)) {
                lw_latch_count_down(&g->latch, 1);
                while (lw_latch_wait_for(&g->latch, (int64_t)support_below(&w.random, 50000)) !=
                       LW_OK) {
                }
            } else {
                lw_latch_arrive_and_wait(&g->latch);
            }
        } else {
            lw_latch_arrive_and_wait(&g->latch);
        }
        for (i = 0; i < TEAM; i++) {
            CHECK_EQ(written[i], round);
        }
        if (w.number == freed_by(round)) {
            memset(g, 0xdd, sizeof *g);
            free(g);
        }
        w.operations++;
        pthread_barrier_wait(&handed_out);
    }
    watchdog_leave(w.slot);
    ((int *)arg)[TEAM] = (int)w.operations;
}

static uint64_t freed_by_who_is_let_go(void)
{
    int numbers[2 * TEAM] = {0, 1, 2, 3, 4, 0, 0, 0, 0, 0};
    pthread_barrier_init(&handed_out, NULL, TEAM);
    support_run(TEAM, gather, numbers, sizeof numbers[0]);
    pthread_barrier_destroy(&handed_out);
    return (uint64_t)numbers[TEAM] * TEAM;
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"freed_by_who_is_let_go", freed_by_who_is_let_go}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
