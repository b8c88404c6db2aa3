/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped futex platform, over a model of the system call. */
#define LW_MODEL_REAL_PLATFORM
#define LW_PLATFORM_FUTEX
#include "model.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>

/* FUTEX_WAIT sleeps if the word has the value expected, looked at in one step with queueing; it may
 * end for no reason, once a thread. FUTEX_WAKE knows the address and does not look at the
 * memory. */
static bool futex_spurious[MODEL_THREADS];

static const lw_rl_site futex_site = {"futex", "futex.cpp", 0, "futex"};

static long model_futex(const lw_atomic_u32 *word, int op, uint32_t value,
                        const struct timespec *limit)
{
    op &= FUTEX_CMD_MASK;
    rl::ctx().sched();
    if (op == FUTEX_WAKE) {
        model_wake(word, false);
        return 0;
    }
    MODEL_ASSERT(op == FUTEX_WAIT_BITSET);
    if (word->look(futex_site) != value) {
        errno = EAGAIN;
        return -1;
    }
    if (!futex_spurious[model_self()] && rl::rand(3) != 0) {
        futex_spurious[model_self()] = true;
        errno = EINTR;
        return rl::rand(2) == 0 ? -1 : 0;
    }
    if (model_sleep(word, limit != NULL) == rl::unpark_reason_timeout) {
        errno = ETIMEDOUT;
        return -1;
    }
    return 0;
}

/* Gives the two forms in use one list of arguments. */
#define syscall(number, word, op, value, limit, ...) model_futex(word, op, value, limit)
#include "platform/futex.c"
#undef syscall

#include "locks/mutex.c"

struct futex_suite {
    static void reset()
    {
        memset(futex_spurious, 0, sizeof futex_spurious);
    }
};

template <class D, int N, int turns>
struct futex_lock : model_suite<D, N, false> {
    lw_rawlock lock;
    LW_PLAIN(int) data;

    void setup()
    {
        futex_suite::reset();
    }
    void body(unsigned)
    {
        int turn;
        for (turn = 0; turn < turns; turn++) {
            lw_rawlock_lock_(&lock);
            LW_PLAIN_SET(data, LW_PLAIN_GET(data) + 1);
            lw_rawlock_unlock_(&lock);
        }
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(data) == N * turns);
        MODEL_ASSERT(lock.word.latest() == 0);
    }
};
struct futex_lock_pair : futex_lock<futex_lock_pair, 2, 2> {};
MODEL_SUITE(futex_lock_pair);
struct futex_lock_three : futex_lock<futex_lock_three, 3, 1> {};
MODEL_SUITE(futex_lock_three);

/* The wake comes before, during or after the wait, which may have a limit; then the waiter's memory
 * is gone. */
struct futex_parker : model_suite<futex_parker, 2, false> {
    lw_parker *parker;
    LW_PLAIN(int) data;

    void setup()
    {
        futex_suite::reset();
        parker = model_new<lw_parker>();
        lw_parker_prepare_(parker);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            LW_PLAIN_SET(data, 1);
            lw_parker_wake_(parker);
        } else {
            lw_status status = lw_parker_wait_(parker, 1000, true);
            if (status != LW_OK) {
                MODEL_ASSERT(status == LW_TIMEOUT || status == LW_INTERRUPTED);
                MODEL_ASSERT(lw_parker_wait_(parker, -1, false) == LW_OK);
            }
            MODEL_ASSERT(LW_PLAIN_GET(data) == 1);
            lw_parker_finish_(parker);
            model_free(parker);
        }
    }
    void check() {}
};
MODEL_SUITE(futex_parker);

/* All of it together. */
struct futex_mutex : model_suite<futex_mutex, 2, false> {
    lw_mutex_t m;
    LW_PLAIN(int) data;

    void setup()
    {
        futex_suite::reset();
    }
    void body(unsigned)
    {
        lw_mutex_lock(&m);
        LW_PLAIN_SET(data, LW_PLAIN_GET(data) + 1);
        lw_mutex_unlock(&m);
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(data) == 2);
    }
};
MODEL_SUITE(futex_mutex);
