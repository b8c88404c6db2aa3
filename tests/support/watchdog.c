/* SPDX-License-Identifier: BSD-2-Clause */
#include "watchdog.h"

#include <latchwork/park.h>

enum { WATCHDOG_MAX = 256 };

/* Five times what a step of the guard takes. */
#define WATCHDOG_STEP INT64_C(100000000)

static watchdog_slot slots[WATCHDOG_MAX];
static pthread_mutex_t slots_mutex = PTHREAD_MUTEX_INITIALIZER;
static support_thread guard;
static int guard_stop;

/* The slot's words are written by its worker and read by the guard: relaxed atomics, so that the
 * guard orders nothing that the code under test should order by itself. */
#define SLOT_GET(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define SLOT_SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

static void print_waiter(void *arg, const void *address, int64_t waited_ns)
{
    (void)arg;
    fprintf(stderr, "  waits in the library on %p for %.3f s\n", address, (double)waited_ns / 1e9);
}

static void print_all(void)
{
    int i;
    for (i = 0; i < WATCHDOG_MAX; i++) {
        if (SLOT_GET(slots[i].active)) {
            const char *doing = SLOT_GET(slots[i].doing);
            fprintf(stderr, "  %s %d: %s %p after %llu steps\n", SLOT_GET(slots[i].name),
                    SLOT_GET(slots[i].number), doing != NULL ? doing : "starting",
                    SLOT_GET(slots[i].address), (unsigned long long)SLOT_GET(slots[i].ticks));
        }
    }
    fflush(stderr);
    lw_park_report(print_waiter, NULL);
    fflush(stderr);
}

static void watch(void *arg)
{
    static uint64_t seen[WATCHDOG_MAX];
    static int64_t since[WATCHDOG_MAX];
    const char *given = getenv("LW_WATCHDOG");
    int64_t limit = (int64_t)((given != NULL ? strtod(given, NULL) : 20.0) * 1e9);
    int64_t now = 1, last = support_now();
    (void)arg;
    while (!SLOT_GET(guard_stop)) {
        /* This thread's own time: a machine that stands still for a while stops all threads, and is
         * no hang of one. */
        int64_t clock = support_now();
        int i;
        now += clock - last < WATCHDOG_STEP ? clock - last : WATCHDOG_STEP;
        last = clock;
        for (i = 0; i < WATCHDOG_MAX; i++) {
            uint64_t ticks = SLOT_GET(slots[i].ticks);
            if (!SLOT_GET(slots[i].active) || ticks != seen[i] || since[i] == 0) {
                seen[i] = ticks;
                since[i] = now;
            } else if (now - since[i] > limit) {
                fprintf(stderr, "FAILED: %s %d has stood still for %.0f s\n",
                        SLOT_GET(slots[i].name), SLOT_GET(slots[i].number), (double)limit / 1e9);
                print_all();
                abort();
            }
        }
        support_sleep(20000000);
    }
}

void watchdog_start(void)
{
    SLOT_SET(guard_stop, 0);
    support_start(&guard, watch, NULL);
}

void watchdog_stop(void)
{
    SLOT_SET(guard_stop, 1);
    support_join(&guard);
}

watchdog_slot *watchdog_enter(const char *name, int number)
{
    int i;
    pthread_mutex_lock(&slots_mutex);
    for (i = 0; i < WATCHDOG_MAX && slots[i].active; i++) {
    }
    CHECK(i < WATCHDOG_MAX);
    SLOT_SET(slots[i].name, name);
    SLOT_SET(slots[i].number, number);
    SLOT_SET(slots[i].doing, (const char *)NULL);
    SLOT_SET(slots[i].address, (const void *)NULL);
    SLOT_SET(slots[i].ticks, slots[i].ticks + 1);
    SLOT_SET(slots[i].active, true);
    pthread_mutex_unlock(&slots_mutex);
    return &slots[i];
}

void watchdog_leave(watchdog_slot *slot)
{
    pthread_mutex_lock(&slots_mutex);
    SLOT_SET(slot->active, false);
    pthread_mutex_unlock(&slots_mutex);
}

void watchdog_tick(watchdog_slot *slot, const char *doing, const void *address)
{
    SLOT_SET(slot->doing, doing);
    SLOT_SET(slot->address, address);
    SLOT_SET(slot->ticks, slot->ticks + 1);
}
