/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests whose event lies beside the answer and is freed by who waited for it; and a consumer
 * that resets, looks and waits. */
#include <latchwork/event.h>

#include "stress.h"

#include <sched.h>

enum { THREADS = 6, SLOTS = 2 };

typedef struct request {
    lw_event_t answered;
    uint64_t question, answer; /* plain: ThreadSanitizer sees a set that does not release */
} request;

static lw_atomic_ptr slots[SLOTS];
static lw_atomic_u64 askers; /* that may still put a request into a slot */

static void answer_one(stress_worker *w)
{
    request *r =
        (request *)lw_atomic_exchange_acquire_ptr(&slots[support_below(&w->random, SLOTS)], NULL);
    if (r != NULL) {
        r->answer = r->question * 3;
        stress_dawdle(&w->random);
        lw_event_set(&r->answered);
    }
}

static void ask_one(stress_worker *w)
{
    request *r = (request *)calloc(1, sizeof *r);
    void *none = NULL;
    CHECK(r != NULL);
    r->question = support_next(&w->random);
    if (!lw_atomic_cas_release_ptr(&slots[support_below(&w->random, SLOTS)], &none, r)) {
        free(r);
        return;
    }
    watchdog_tick(w->slot, "waits for an answer", lw_park_beside_(&r->answered));
    switch (support_below(&w->random, 3)) {
    case 0:
        while (lw_event_wait_for(&r->answered, (int64_t)support_below(&w->random, 50000)) !=
               LW_OK) {
        }
        break;
    case 1:
        lw_event_wait(&r->answered);
        break;
    default:
        while (!lw_event_is_set(&r->answered)) {
            stress_dawdle(&w->random);
        }
        break;
    }
    CHECK_EQ(r->answer, r->question * 3);
    free(r);
    w->operations++;
}

static void ask_or_answer(stress_worker *w)
{
    if (w->number % 2 == 0) {
        (void)lw_atomic_add_relaxed_u64(&askers, 1);
        while (stress_running()) {
            ask_one(w);
        }
        (void)lw_atomic_sub_release_u64(&askers, 1);
        return;
    }
    while (stress_running() || lw_atomic_load_acquire_u64(&askers) != 0) {
        watchdog_tick(w->slot, "answers", NULL);
        answer_one(w);
    }
}

static uint64_t freed_by_the_waiter(void)
{
    return stress_workers("asker or answerer", THREADS, ask_or_answer);
}

/* ---- Reset, look, wait: nothing is missed ---- */

static lw_event_t more;
static lw_atomic_u64 made, used, answered, producers;

/* The next set would make up for one that was missed. So one of two producers waits for the answer
 * to each of its own, and the other lets it be alone for some. */
static void produce(stress_worker *w)
{
    uint64_t mine = lw_atomic_add_relaxed_u64(&made, 1) + 1, until;
    lw_event_set(&more);
    w->operations++;
    if (w->number == 1) {
        while (lw_atomic_load_relaxed_u64(&used) < mine) {
            sched_yield();
        }
        (void)lw_atomic_add_relaxed_u64(&answered, 1);
    } else if (w->operations % 50 == 0) {
        until = lw_atomic_load_relaxed_u64(&answered) + 1000;
        while (lw_atomic_load_relaxed_u64(&answered) < until &&
               lw_atomic_load_relaxed_u64(&producers) == 2) {
            support_sleep(100000);
        }
    }
    stress_dawdle(&w->random);
}

static void produce_or_consume(stress_worker *w)
{
    if (w->number != 0) {
        (void)lw_atomic_add_relaxed_u64(&producers, 1);
        while (stress_running()) {
            watchdog_tick(w->slot, "produces", NULL);
            produce(w);
        }
        (void)lw_atomic_sub_relaxed_u64(&producers, 1);
        lw_event_set(&more);
        return;
    }
    for (;;) {
        bool over = !stress_running() && lw_atomic_load_relaxed_u64(&producers) == 0;
        uint64_t now;
        lw_event_reset(&more);
        now = lw_atomic_load_relaxed_u64(&made);
        if (now != lw_atomic_load_relaxed_u64(&used)) {
            lw_atomic_store_relaxed_u64(&used, now);
        } else if (over) {
            break;
        } else {
            watchdog_tick(w->slot, "waits for more", lw_park_beside_(&more));
            if (support_below(&w->random, 2) == 0) {
                (void)!lw_event_wait_for(&more, 1000000);
            } else if (lw_atomic_load_relaxed_u64(&producers) != 0) {
                lw_event_wait(&more);
            }
        }
    }
}

static uint64_t reset_look_wait(void)
{
    uint64_t operations = stress_workers("producer or consumer", 3, produce_or_consume);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&used), lw_atomic_load_relaxed_u64(&made));
    CHECK_EQ(lw_atomic_load_relaxed_u64(&used), operations);
    return operations;
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"freed_by_the_waiter", freed_by_the_waiter},
                                        {"reset_look_wait", reset_look_wait}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
