/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped recursive mutex and condition variable, over the shipped mutex. */
#include "model.hpp"

#include "locks/cond.c"
#include "locks/critical.c"
#include "locks/mutex.c"
#include "locks/rmutex.c"

/* A thread that does not hold it never takes itself for its owner, whatever it reads. */
struct rmutex_levels : model_suite<rmutex_levels, 2, false> {
    lw_rmutex_t m;
    LW_PLAIN(int) data;

    void setup() {}
    void body(unsigned i)
    {
        uint32_t depth;
        MODEL_ASSERT(!lw_rmutex_is_owned(&m));
        lw_rmutex_lock(&m);
        LW_PLAIN_SET(data, LW_PLAIN_GET(data) + 1);
        MODEL_ASSERT(lw_rmutex_trylock(&m) && lw_rmutex_depth(&m) == 2);
        if (i == 0) {
            depth = lw_rmutex_save(&m);
            MODEL_ASSERT(depth == 2 && !lw_rmutex_is_owned(&m));
            lw_rmutex_restore(&m, depth, LW_WAIT_DEFAULT);
        }
        LW_PLAIN_SET(data, LW_PLAIN_GET(data) + 1);
        lw_rmutex_unlock(&m);
        MODEL_ASSERT(lw_rmutex_depth(&m) == 1);
        lw_rmutex_unlock(&m);
        MODEL_ASSERT(!lw_rmutex_is_owned(&m));
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(data) == 4 && LW_PLAIN_GET(m.depth) == 0);
        MODEL_ASSERT(m.owner.latest() == 0 && m.mutex.word.latest() == 0);
    }
};
MODEL_SUITE(rmutex_levels);

struct rmutex_three : model_suite<rmutex_three, 3, false> {
    lw_rmutex_t m;
    LW_PLAIN(int) data;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 2 && lw_rmutex_lock_for(&m, 0) != LW_OK) {
            MODEL_ASSERT(!lw_rmutex_is_owned(&m));
            return;
        }
        lw_rmutex_lock(&m);
        LW_PLAIN_SET(data, LW_PLAIN_GET(data) + 1);
        lw_rmutex_unlock(&m);
        if (i == 2) {
            MODEL_ASSERT(lw_rmutex_depth(&m) == 1);
            lw_rmutex_unlock(&m);
        }
        MODEL_ASSERT(!lw_rmutex_is_owned(&m));
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(m.depth) == 0 && m.mutex.word.latest() == 0);
    }
};
MODEL_SUITE(rmutex_three);

/* A condition variable, its mutex, and what they are for. */
struct monitored {
    lw_mutex_t m;
    lw_cond_t c;
    LW_PLAIN(int) ready;

    void take()
    {
        lw_mutex_lock(&m);
        while (LW_PLAIN_GET(ready) == 0) {
            lw_cond_wait(&c, &m);
        }
        LW_PLAIN_SET(ready, LW_PLAIN_GET(ready) - 1);
        lw_mutex_unlock(&m);
    }
    void give(bool inside)
    {
        lw_mutex_lock(&m);
        LW_PLAIN_SET(ready, LW_PLAIN_GET(ready) + 1);
        if (inside) {
            (void)lw_cond_notify_one(&c);
        }
        lw_mutex_unlock(&m);
        if (!inside) {
            (void)lw_cond_notify_one(&c);
        }
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(ready) == 0);
        MODEL_ASSERT(c.word.latest() == 0 && m.word.latest() == 0);
    }
};

/* No notification is lost; the notifier holds the mutex, or does not any more. */
struct cond_hand_over : model_suite<cond_hand_over, 2, false> {
    monitored one;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            one.give(true);
            one.give(false);
        } else {
            one.take();
            one.take();
        }
    }
    void check()
    {
        one.check();
    }
};
MODEL_SUITE(cond_hand_over);

struct cond_two_takers : model_suite<cond_two_takers, 3, false> {
    monitored one;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            one.give(false);
            one.give(false);
        } else {
            one.take();
        }
    }
    void check()
    {
        one.check();
    }
};
MODEL_SUITE(cond_two_takers);

/* Of those that wait at that moment as many are woken as was said, and each wait that returns LW_OK
 * was one of them. A limit may pass at any time. */
template <class D, int N, int64_t limit>
struct cond_exact : model_suite<D, N, false> {
    lw_mutex_t m;
    lw_cond_t c;
    LW_PLAIN(int) waiting;
    LW_PLAIN(int) came;
    LW_PLAIN(int) closed;
    int notified, woken;

    void setup()
    {
        notified = woken = 0;
    }
    void wait(int64_t timeout_ns)
    {
        lw_mutex_lock(&m);
        if (!LW_PLAIN_GET(closed)) {
            lw_status status;
            LW_PLAIN_SET(waiting, LW_PLAIN_GET(waiting) + 1);
            status = lw_cond_wait_for(&c, &m, timeout_ns);
            MODEL_ASSERT(m.word.latest() != 0);
            if (status == LW_OK) {
                woken++;
            } else {
                MODEL_ASSERT(status == LW_TIMEOUT && timeout_ns >= 0);
                LW_PLAIN_SET(waiting, LW_PLAIN_GET(waiting) - 1);
            }
        }
        lw_mutex_unlock(&m);
    }
    void notify(size_t n, bool last)
    {
        int before, got, expected;
        lw_mutex_lock(&m);
        before = LW_PLAIN_GET(waiting);
        expected = n < (size_t)before ? (int)n : before;
        got = (int)lw_cond_notify(&c, n);
        /* Who has timed out and waits for the mutex is counted still. */
        MODEL_ASSERT(limit < 0 ? got == expected : got <= expected);
        LW_PLAIN_SET(waiting, before - got);
        notified += got;
        LW_PLAIN_SET(closed, last);
        lw_mutex_unlock(&m);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            notify(1, false);
            notify(SIZE_MAX, true);
        } else {
            wait(i + 1 == N ? limit : -1);
        }
    }
    void check()
    {
        MODEL_ASSERT(notified == woken && LW_PLAIN_GET(waiting) == 0);
        MODEL_ASSERT(c.word.latest() == 0 && m.word.latest() == 0);
    }
};
struct cond_exact_plain : cond_exact<cond_exact_plain, 3, -1> {};
MODEL_SUITE(cond_exact_plain);
struct cond_exact_timed : cond_exact<cond_exact_timed, 2, 1000> {};
MODEL_SUITE(cond_exact_timed);
struct cond_exact_mixed : cond_exact<cond_exact_mixed, 3, 1000> {};
MODEL_SUITE(cond_exact_mixed);

static void *cond_before(void)
{
    return &model;
}

static int cond_attaches; /* until it ends */

static void cond_ends(void *token)
{
    MODEL_ASSERT(token == &model);
    if (model_self() == 1 && --cond_attaches == 0) {
        throw model_thread_ended();
    }
}

/* A thread that ends while it attaches, after its wait or while it locks again, passes the
 * notification on, and does not hold the mutex. */
template <class D, int attaches>
struct cond_lost : model_suite<D, 3, false> {
    monitored one;
    int ended;

    void setup()
    {
        static const lw_block_hooks hooks = {cond_before, cond_ends};
        lw_domain_set_block_hooks(&hooks);
        cond_attaches = attaches;
        ended = 0;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            one.give(true);
            return;
        }
        try {
            lw_mutex_lock(&one.m);
            /* One value for two: whoever comes second makes its own. */
            if (LW_PLAIN_GET(one.ready) == 0) {
                (void)!lw_cond_wait_flags(&one.c, &one.m, -1,
                                          i == 1 ? LW_WAIT_DEFAULT : LW_WAIT_ATTACHED);
            }
            LW_PLAIN_SET(one.ready, LW_PLAIN_GET(one.ready) + 1);
            (void)lw_cond_notify_one(&one.c);
            lw_mutex_unlock(&one.m);
        } catch (const model_thread_ended &) {
            ended++;
        }
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(one.ready) == 3 - ended);
        MODEL_ASSERT(one.c.word.latest() == 0 && one.m.word.latest() == 0);
    }
};
struct cond_lost_waiting : cond_lost<cond_lost_waiting, 1> {};
MODEL_SUITE(cond_lost_waiting);
struct cond_lost_locking : cond_lost<cond_lost_locking, 2> {};
MODEL_SUITE(cond_lost_locking);

/* The woken frees all of it while the notifier is on its way out; and the notifier of all frees the
 * condition variable while the woken are. */
struct cond_freed : model_suite<cond_freed, 2, false> {
    monitored *one;

    void setup()
    {
        one = model_new<monitored>();
    }
    void body(unsigned i)
    {
        if (i == 0) {
            lw_mutex_lock(&one->m);
            LW_PLAIN_SET(one->ready, 1);
            lw_mutex_unlock(&one->m);
            (void)lw_cond_notify_one(&one->c);
        } else {
            lw_mutex_lock(&one->m);
            if (LW_PLAIN_GET(one->ready) == 0) {
                lw_cond_wait(&one->c, &one->m);
                lw_mutex_unlock(&one->m);
                model_free(one);
                return;
            }
            lw_mutex_unlock(&one->m); /* the notifier is not done with it */
        }
    }
    void check() {}
};
MODEL_SUITE(cond_freed);

struct cond_freed_by_notifier : model_suite<cond_freed_by_notifier, 3, false> {
    lw_mutex_t m;
    lw_cond_t *c;
    LW_PLAIN(bool) gone;

    void setup()
    {
        c = model_new<lw_cond_t>();
    }
    void body(unsigned i)
    {
        lw_mutex_lock(&m);
        if (i == 0) {
            (void)lw_cond_notify_all(c);
            LW_PLAIN_SET(gone, true);
            model_free(c);
        } else if (!LW_PLAIN_GET(gone)) {
            lw_cond_wait(c, &m);
        }
        lw_mutex_unlock(&m);
    }
    void check()
    {
        MODEL_ASSERT(m.word.latest() == 0 && model_blocks_left() == 0);
    }
};
MODEL_SUITE(cond_freed_by_notifier);

/* All levels are let go of, and come back. */
struct cond_levels : model_suite<cond_levels, 2, false> {
    lw_rmutex_t m;
    lw_cond_t c;
    LW_PLAIN(int) ready;

    void setup() {}
    void body(unsigned i)
    {
        lw_rmutex_lock(&m);
        if (i == 0) {
            LW_PLAIN_SET(ready, 1);
            (void)lw_cond_notify_all(&c);
        } else {
            lw_rmutex_lock(&m);
            while (LW_PLAIN_GET(ready) == 0) {
                lw_cond_wait_rmutex(&c, &m);
                MODEL_ASSERT(lw_rmutex_depth(&m) == 2);
            }
            lw_rmutex_unlock(&m);
        }
        lw_rmutex_unlock(&m);
    }
    void check()
    {
        MODEL_ASSERT(m.owner.latest() == 0 && m.mutex.word.latest() == 0 && c.word.latest() == 0);
    }
};
MODEL_SUITE(cond_levels);
