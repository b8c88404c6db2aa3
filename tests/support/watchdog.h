/* SPDX-License-Identifier: BSD-2-Clause */
/* Ends a test that hangs, and says what waits on what. Each worker has a slot and ticks it; a
 * worker that has not ticked for LW_WATCHDOG seconds (20) makes the process print all slots and the
 * library's waiters, and abort. */
#ifndef LW_TESTS_WATCHDOG_H
#define LW_TESTS_WATCHDOG_H

#include "support.h"

typedef struct watchdog_slot {
    const char *name;
    const char *doing;
    const void *address;
    uint64_t ticks;
    int number;
    bool active;
} watchdog_slot;

void watchdog_start(void);
void watchdog_stop(void);

/* Registers the calling worker. */
watchdog_slot *watchdog_enter(const char *name, int number);
void watchdog_leave(watchdog_slot *slot);
/* Says that the worker goes on, and what it does next; `address` may be NULL. */
void watchdog_tick(watchdog_slot *slot, const char *doing, const void *address);

#endif
