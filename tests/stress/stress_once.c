/* SPDX-License-Identifier: BSD-2-Clause */
/* Done once, however often it fails, and by threads that end in the middle. */
#include <latchwork/once.h>

#include "stress.h"

#include <string.h>

enum { TEAM = 4 };

typedef struct made {
    lw_once_t once;
    lw_once_t *again; /* the same, for re-entry */
    int users;
    uint64_t attempts; /* plain, as `value`: runs come one after the other */
    uint64_t value;
    support_random random;
} made;

static made *current;
static pthread_barrier_t handed_out;
static int team_stop;

static lw_status make(void *arg)
{
    made *m = (made *)arg;
    CHECK_EQ(m->value, 0);
    m->attempts++;
    CHECK_EQ(lw_once_begin(m->again), LW_BUSY);
    stress_dawdle(&m->random);
    if (support_below(&m->random, 3) == 0) {
        return LW_AGAIN;
    }
    m->value = 42 + m->attempts;
    return LW_OK;
}

static lw_status end_in_run(void *arg)
{
    ((made *)arg)->attempts++;
    pthread_exit(NULL);
}

static void call_and_end(void *arg)
{
    made *m = (made *)arg;
    CHECK_EQ(lw_once_call(&m->once, end_in_run, m), LW_OK); /* if another was faster */
}

static lw_status try_it(stress_worker *w, made *m)
{
    lw_status status;
    switch (support_below(&w->random, 4)) {
    case 0:
        return lw_once_call_for(&m->once, make, m, (int64_t)support_below(&w->random, 50000));
    case 1:
        status = lw_once_begin(&m->once);
        if (status == LW_OK) {
            status = make(m);
            if (status == LW_OK) {
                lw_once_commit(&m->once);
            } else {
                lw_once_abort(&m->once);
            }
        }
        return status == LW_EXISTS ? LW_OK : status;
    default:
        return lw_once_call(&m->once, make, m);
    }
}

static void use_and_free(void *arg)
{
    stress_worker w;
    memset(&w, 0, sizeof w);
    w.number = *(int *)arg;
    w.random = support_random_new(support_seed(), (uint64_t)w.number);
    w.slot = watchdog_enter("caller", w.number);
    for (;;) {
        made *m;
        lw_status status;
        if (w.number == 0) {
            team_stop = !stress_running();
            current = (made *)calloc(1, sizeof *current);
            CHECK(current != NULL);
            current->again = &current->once;
            current->users = TEAM;
            current->random = w.random;
            (void)support_next(&w.random);
        }
        pthread_barrier_wait(&handed_out);
        if (team_stop) {
            break;
        }
        m = current;
        watchdog_tick(w.slot, "calls", &m->once);
        if (support_below(&w.random, 64) == 0) {
            support_run(1, call_and_end, m, sizeof *m);
        }
        do {
            status = try_it(&w, m);
            CHECK(status == LW_OK || status == LW_AGAIN || status == LW_TIMEOUT);
        } while (status != LW_OK);
        CHECK_EQ(m->value, 42 + m->attempts);
        if (__atomic_sub_fetch(&m->users, 1, __ATOMIC_ACQ_REL) == 0) {
            memset(m, 0xdd, sizeof *m);
            free(m);
        }
        w.operations++;
        pthread_barrier_wait(&handed_out);
    }
    watchdog_leave(w.slot);
    ((int *)arg)[TEAM] = (int)w.operations;
}

static uint64_t made_once(void)
{
    int numbers[2 * TEAM] = {0, 1, 2, 3, 0, 0, 0, 0};
    pthread_barrier_init(&handed_out, NULL, TEAM);
    support_run(TEAM, use_and_free, numbers, sizeof numbers[0]);
    pthread_barrier_destroy(&handed_out);
    free(current);
    return (uint64_t)numbers[TEAM] * TEAM;
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"made_once", made_once}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
