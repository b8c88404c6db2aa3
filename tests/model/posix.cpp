/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped pthread platform, over a model of the pthread calls in use. */
#define LW_ATOMIC_RELACY
#define LW_MODEL_REAL_PLATFORM
#define LW_PLATFORM_POSIX
#include <latchwork/atomic.h>

#include <pthread.h>

/* Relacy has its own, with other rules for time. */
#undef pthread_mutex_t
#undef pthread_cond_t
#undef pthread_condattr_t
#undef pthread_mutex_init
#undef pthread_mutex_lock
#undef pthread_mutex_trylock
#undef pthread_mutex_unlock
#undef pthread_mutex_destroy
#undef pthread_cond_init
#undef pthread_cond_wait
#undef pthread_cond_timedwait
#undef pthread_cond_signal
#undef pthread_cond_destroy

struct model_pthread_mutex {
    lw_rl_cell<uint32_t> held;
};
struct model_pthread_cond {
    lw_rl_cell<uint32_t> unused;
};
#define pthread_mutex_t model_pthread_mutex
#define pthread_cond_t model_pthread_cond
#include "model.hpp"

static const lw_rl_site posix_site = {"pthread", "posix.cpp", 0, "pthread"};

static int model_mutex_init(model_pthread_mutex *m, const void *)
{
    m->held.store(0, rl::mo_relaxed, posix_site);
    return 0;
}

static int model_mutex_lock(model_pthread_mutex *m)
{
    uint32_t none = 0;
    while (!m->held.cas(&none, 1, rl::mo_acquire, posix_site)) {
        none = 0;
        model_sleep(m, false);
    }
    return 0;
}

static int model_mutex_trylock(model_pthread_mutex *m)
{
    uint32_t none = 0;
    return m->held.cas(&none, 1, rl::mo_acquire, posix_site) ? 0 : EBUSY;
}

static int model_mutex_unlock(model_pthread_mutex *m)
{
    const void *address = m;
    MODEL_ASSERT(m->held.latest() == 1);
    m->held.store(0, rl::mo_release, posix_site);
    model_wake(address, true);
    return 0;
}

/* Allowed from the moment on at which nobody holds it. */
static int model_mutex_destroy(model_pthread_mutex *m)
{
    MODEL_ASSERT(m->held.load(rl::mo_relaxed, posix_site) == 0);
    return 0;
}

static int model_cond_touch(model_pthread_cond *c)
{
    (void)c->unused.load(rl::mo_relaxed, posix_site);
    return 0;
}

/* Lets the mutex go and sleeps in one step; may end for no reason, once a thread. */
static bool posix_spurious[MODEL_THREADS];

static int model_cond_timedwait(model_pthread_cond *c, model_pthread_mutex *m,
                                const struct timespec *limit)
{
    rl::unpark_reason reason = rl::unpark_reason_normal;
    model_cond_touch(c);
    if (posix_spurious[model_self()] || rl::rand(2) == 0) {
        rl::ctx().disable_preemption();
        model_mutex_unlock(m);
        rl::ctx().enable_preemption();
        reason = model_sleep(c, limit != NULL);
    } else {
        posix_spurious[model_self()] = true;
        model_mutex_unlock(m);
    }
    model_mutex_lock(m);
    return reason == rl::unpark_reason_timeout ? ETIMEDOUT : 0;
}

static int model_cond_signal(model_pthread_cond *c)
{
    model_cond_touch(c);
    model_wake(c, false);
    return 0;
}

#define pthread_mutex_init model_mutex_init
#define pthread_mutex_lock model_mutex_lock
#define pthread_mutex_trylock model_mutex_trylock
#define pthread_mutex_unlock model_mutex_unlock
#define pthread_mutex_destroy model_mutex_destroy
#define pthread_cond_init(cond, attributes) model_cond_touch(cond)
#define pthread_cond_wait(cond, mutex) model_cond_timedwait(cond, mutex, NULL)
#define pthread_cond_timedwait model_cond_timedwait
#define pthread_cond_signal model_cond_signal
#define pthread_cond_destroy model_cond_touch
#include "platform/posix.c"

struct posix_lock : model_suite<posix_lock, 2, false> {
    lw_rawlock lock;
    LW_PLAIN(int) data;

    void setup()
    {
        lw_rawlock_init_(&lock);
    }
    void body(unsigned)
    {
        lw_rawlock_lock_(&lock);
        LW_PLAIN_SET(data, LW_PLAIN_GET(data) + 1);
        lw_rawlock_unlock_(&lock);
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(data) == 2);
    }
};
MODEL_SUITE(posix_lock);

/* The wake comes before, during or after the wait, which may have a limit; then the waiter's memory
 * is gone. */
template <class D, bool limit, bool interruptible>
struct posix_parker : model_suite<D, 2, false> {
    lw_parker *parker;
    LW_PLAIN(int) data;

    void setup()
    {
        memset(posix_spurious, 0, sizeof posix_spurious);
        parker = model_new<lw_parker>();
        lw_parker_prepare_(parker);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            LW_PLAIN_SET(data, 1);
            lw_parker_wake_(parker);
        } else {
            lw_status status = lw_parker_wait_(parker, limit ? 2000 : -1, interruptible);
            if (status != LW_OK) {
                MODEL_ASSERT(status == (interruptible ? LW_INTERRUPTED : LW_TIMEOUT) ||
                             (limit && interruptible && status == LW_TIMEOUT));
                MODEL_ASSERT(lw_parker_wait_(parker, -1, false) == LW_OK);
            }
            MODEL_ASSERT(LW_PLAIN_GET(data) == 1);
            lw_parker_finish_(parker);
            model_free(parker);
        }
    }
    void check() {}
};
struct posix_parker_plain : posix_parker<posix_parker_plain, false, false> {};
MODEL_SUITE(posix_parker_plain);
struct posix_parker_timed : posix_parker<posix_parker_timed, true, false> {};
MODEL_SUITE(posix_parker_timed);
struct posix_parker_interrupted : posix_parker<posix_parker_interrupted, false, true> {};
MODEL_SUITE(posix_parker_interrupted);
