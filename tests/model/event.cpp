/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped event and park sources. */
#include "model.hpp"

#include "locks/event.c"

/* A setter, and two that wait, asleep or in time. */
struct event_set : model_suite<event_set, 3, false> {
    lw_event_t e;
    LW_PLAIN(int) data;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            LW_PLAIN_SET(data, 1);
            lw_event_set(&e);
        } else {
            lw_event_wait(&e);
            MODEL_ASSERT(LW_PLAIN_GET(data) == 1 && lw_event_is_set(&e));
        }
    }
    void check()
    {
        MODEL_ASSERT(e.word.latest() == LW_EVENT_SET_);
    }
};
MODEL_SUITE(event_set);

/* Who sleeps when it is set returns, although it is reset at once. */
struct event_pulse : model_suite<event_pulse, 3, false> {
    lw_event_t e;

    void setup() {}
    void body(unsigned i)
    {
        if (i != 0) {
            lw_event_wait(&e);
            return;
        }
        if (lw_atomic_load_relaxed_u32(&e.word) == LW_EVENT_WAITED_) {
            lw_event_set(&e);
            lw_event_reset(&e);
        }
        lw_event_set(&e); /* for who comes later */
    }
    void check()
    {
        MODEL_ASSERT(e.word.latest() == LW_EVENT_SET_);
    }
};
MODEL_SUITE(event_pulse);

/* As event_pulse, with one waiter, who has to be woken by the first set if it saw it sleep. */
struct event_pulse_one : model_suite<event_pulse_one, 2, false> {
    lw_event_t e;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 1) {
            lw_event_wait(&e);
        } else if (lw_atomic_load_relaxed_u32(&e.word) == LW_EVENT_WAITED_) {
            lw_event_set(&e);
            lw_event_reset(&e);
        } else {
            lw_event_set(&e);
        }
    }
    void check() {}
};
MODEL_SUITE(event_pulse_one);

/* "Reset, look, wait", from an event that is set already. */
struct event_consumed : model_suite<event_consumed, 2, false> {
    lw_event_t e;
    lw_atomic_u32 item;

    void setup()
    {
        lw_event_set(&e);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            lw_atomic_store_relaxed_u32(&item, 1);
            lw_event_set(&e);
            return;
        }
        lw_event_reset(&e);
        if (lw_atomic_load_relaxed_u32(&item) == 0) {
            lw_event_wait(&e);
        }
        MODEL_ASSERT(lw_atomic_load_relaxed_u32(&item) == 1);
    }
    void check() {}
};
MODEL_SUITE(event_consumed);

/* One with a limit, one without. */
struct event_timed : model_suite<event_timed, 3, false> {
    lw_event_t e;
    LW_PLAIN(int) data;

    void setup() {}
    void body(unsigned i)
    {
        lw_status status = LW_OK;
        if (i == 0) {
            LW_PLAIN_SET(data, 1);
            lw_event_set(&e);
            return;
        }
        status = lw_event_wait_for(&e, i == 1 ? 1000 : -1);
        MODEL_ASSERT(status == LW_OK || (status == LW_TIMEOUT && i == 1));
        if (status == LW_OK) {
            MODEL_ASSERT(LW_PLAIN_GET(data) == 1);
        }
    }
    void check()
    {
        MODEL_ASSERT(e.word.latest() == LW_EVENT_SET_);
    }
};
MODEL_SUITE(event_timed);

/* Who gave up leaves no trace. */
struct event_left : model_suite<event_left, 2, false> {
    lw_event_t e;

    void setup() {}
    void body(unsigned)
    {
        MODEL_ASSERT(lw_event_wait_for(&e, 1000) == LW_TIMEOUT);
    }
    void check()
    {
        MODEL_ASSERT(e.word.latest() == 0);
    }
};
MODEL_SUITE(event_left);

/* A wait with a limit, and then without: it ends at any time that a set allows. */
static void event_wait_twice(lw_event_t *e)
{
    if (lw_event_wait_for(e, 1000) != LW_OK) {
        lw_event_wait(e);
    }
}

/* An event in the waiter's frame: gone when the wait returns. */
struct event_freed : model_suite<event_freed, 2, false> {
    lw_event_t *e;

    void setup()
    {
        e = model_new<lw_event_t>();
    }
    void body(unsigned i)
    {
        if (i == 0) {
            lw_event_set(e);
        } else {
            event_wait_twice(e);
            model_free(e);
        }
    }
    void check()
    {
        MODEL_ASSERT(model_blocks_left() == 0);
    }
};
MODEL_SUITE(event_freed);

/* And another in its place, which nobody sets. */
struct event_again : model_suite<event_again, 2, false> {
    lw_event_t e;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            lw_event_set(&e);
        } else {
            event_wait_twice(&e);
            lw_event_init(&e);
            MODEL_ASSERT(lw_event_wait_for(&e, 1000) == LW_TIMEOUT);
        }
    }
    void check()
    {
        MODEL_ASSERT(e.word.latest() == 0);
    }
};
MODEL_SUITE(event_again);
