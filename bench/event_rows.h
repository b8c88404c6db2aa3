/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one event. An adapter defines, before it includes this file, EVENT_NAME, EVENT_ID,
 * event_object (its type), event_begin(e), event_end(e), event_set(e), event_clear(e) and
 * event_wait(e), and gets register_EVENT_ID(). */
#include "rows.h"

typedef struct event_shared {
    BENCH_CACHE_LINE event_object event;
} event_shared;

static void *event_setup(int threads)
{
    event_shared *s = (event_shared *)bench_alloc(sizeof *s);
    (void)threads;
    event_begin(&s->event);
    event_set(&s->event);
    return s;
}

static void event_teardown(void *shared)
{
    event_shared *s = (event_shared *)shared;
    event_end(&s->event);
    free(s);
}

static uint64_t event_waits(void *local, size_t n)
{
    event_shared *s = (event_shared *)local;
    size_t i;
    for (i = 0; i < n; i++) {
        event_wait(&s->event);
        gb_clobber();
    }
    return n;
}

static uint64_t event_cycle(void *local, size_t n)
{
    event_shared *s = (event_shared *)local;
    size_t i;
    for (i = 0; i < n; i++) {
        event_clear(&s->event);
        gb_clobber();
        event_set(&s->event);
    }
    return n;
}

BENCH_REGISTER(EVENT_ID)(void)
{
    gb_row row = {"locks",     "reset and set an event", EVENT_NAME, 1,    1024,
                  event_setup, event_teardown,           NULL,       NULL, event_cycle};
    gb_add(&row);
    row.row = "wait for an event that is set";
    row.body = event_waits;
    gb_add(&row);
    row.threads = 2;
    gb_add(&row);
}
