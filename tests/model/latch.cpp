/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped latch and park sources. */
#include "model.hpp"

#include "locks/latch.c"

/* Two count down and one waits: it sees what both did before. */
struct latch_two_counts : model_suite<latch_two_counts, 3, false> {
    lw_latch_t l;
    LW_PLAIN(int) data[2];

    void setup()
    {
        lw_latch_init(&l, 2);
    }
    void body(unsigned i)
    {
        if (i != 2) {
            LW_PLAIN_SET(data[i], 1);
            lw_latch_count_down(&l, 1);
        } else {
            lw_latch_wait(&l);
            MODEL_ASSERT(LW_PLAIN_GET(data[0]) + LW_PLAIN_GET(data[1]) == 2);
        }
    }
    void check()
    {
        MODEL_ASSERT(l.word.latest() == 0);
    }
};
MODEL_SUITE(latch_two_counts);

/* One counts down and two wait: asleep, or in time. */
struct latch_two_waits : model_suite<latch_two_waits, 3, false> {
    lw_latch_t l;
    LW_PLAIN(int) data;

    void setup()
    {
        lw_latch_init(&l, 2);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            LW_PLAIN_SET(data, 1);
            lw_latch_count_down(&l, 2);
        } else {
            lw_latch_wait(&l);
            MODEL_ASSERT(LW_PLAIN_GET(data) == 1 && lw_latch_try_wait(&l));
        }
    }
    void check()
    {
        MODEL_ASSERT(l.word.latest() == 0);
    }
};
MODEL_SUITE(latch_two_waits);

/* All arrive and wait. */
struct latch_arrive : model_suite<latch_arrive, 3, false> {
    lw_latch_t l;
    LW_PLAIN(int) data[3];

    void setup()
    {
        lw_latch_init(&l, 3);
    }
    void body(unsigned i)
    {
        LW_PLAIN_SET(data[i], 1);
        lw_latch_arrive_and_wait(&l);
        MODEL_ASSERT(LW_PLAIN_GET(data[0]) + LW_PLAIN_GET(data[1]) + LW_PLAIN_GET(data[2]) == 3);
    }
    void check()
    {
        MODEL_ASSERT(l.word.latest() == 0);
    }
};
MODEL_SUITE(latch_arrive);

/* One arrives, one counts, one looks. */
struct latch_mixed : model_suite<latch_mixed, 3, false> {
    lw_latch_t l;
    LW_PLAIN(int) data[2];

    void setup()
    {
        lw_latch_init(&l, 2);
    }
    void body(unsigned i)
    {
        if (i != 2) {
            LW_PLAIN_SET(data[i], 1);
        }
        if (i == 0) {
            lw_latch_count_down(&l, 1);
        } else if (i == 1) {
            lw_latch_arrive_and_wait(&l);
            MODEL_ASSERT(LW_PLAIN_GET(data[0]) == 1);
        } else if (lw_latch_try_wait(&l)) {
            MODEL_ASSERT(LW_PLAIN_GET(data[0]) + LW_PLAIN_GET(data[1]) == 2);
        }
    }
    void check()
    {
        MODEL_ASSERT(l.word.latest() == 0);
    }
};
MODEL_SUITE(latch_mixed);

/* A limit: it has arrived all the same. */
struct latch_timed : model_suite<latch_timed, 3, false> {
    lw_latch_t l;
    LW_PLAIN(int) data[2];

    void setup()
    {
        lw_latch_init(&l, 2);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            lw_status status;
            LW_PLAIN_SET(data[0], 1);
            status = lw_latch_arrive_and_wait_flags(&l, 1000, LW_WAIT_DEFAULT);
            MODEL_ASSERT(status == LW_TIMEOUT || LW_PLAIN_GET(data[1]) == 1);
        } else if (i == 1) {
            LW_PLAIN_SET(data[1], 1);
            lw_latch_count_down(&l, 1);
        } else {
            lw_latch_wait(&l);
            MODEL_ASSERT(LW_PLAIN_GET(data[0]) + LW_PLAIN_GET(data[1]) == 2);
        }
    }
    void check()
    {
        MODEL_ASSERT(l.word.latest() == 0);
    }
};
MODEL_SUITE(latch_timed);

/* Who gave up leaves no trace. */
struct latch_left : model_suite<latch_left, 2, false> {
    lw_latch_t l;

    void setup()
    {
        lw_latch_init(&l, 1);
    }
    void body(unsigned)
    {
        MODEL_ASSERT(lw_latch_wait_for(&l, 1000) == LW_TIMEOUT);
    }
    void check()
    {
        MODEL_ASSERT(l.word.latest() == LW_LATCH_ONE_);
    }
};
MODEL_SUITE(latch_left);

/* The waiter frees it; so does one of those that arrive, whichever. */
struct latch_freed : model_suite<latch_freed, 2, false> {
    lw_latch_t *l;

    void setup()
    {
        l = model_new<lw_latch_t>();
        lw_latch_init(l, 1);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            lw_latch_count_down(l, 1);
        } else {
            lw_latch_wait(l);
            model_free(l);
        }
    }
    void check()
    {
        MODEL_ASSERT(model_blocks_left() == 0);
    }
};
MODEL_SUITE(latch_freed);

struct latch_arrive_freed : model_suite<latch_arrive_freed, 3, false> {
    lw_latch_t *l;

    void setup()
    {
        l = model_new<lw_latch_t>();
        lw_latch_init(l, 3);
    }
    void body(unsigned i)
    {
        lw_latch_arrive_and_wait(l);
        if (i == 0) {
            model_free(l);
        }
    }
    void check()
    {
        MODEL_ASSERT(model_blocks_left() == 0);
    }
};
MODEL_SUITE(latch_arrive_freed);
