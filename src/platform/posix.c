/* SPDX-License-Identifier: BSD-2-Clause */
/* Sleeping and waking by pthread mutexes and condition variables: any Unix. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "platform.h"

#include <errno.h>
#include <time.h>

void lw_parker_prepare_(lw_parker *parker)
{
    pthread_condattr_t attributes;
    lw_atomic_store_relaxed_u32(&parker->state, 1);
    pthread_mutex_init(&parker->mutex, NULL);
    pthread_condattr_init(&attributes);
#if !defined(__APPLE__)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(&parker->cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* A signal does not end pthread_cond_wait, so an interruptible wait looks up once in a while
 * instead. */
#define LW_POSIX_SLICE_NS INT64_C(10000000)

lw_status lw_parker_wait_(lw_parker *parker, int64_t deadline_ns, bool interruptible)
{
    lw_status status = LW_OK;
    /* The waits below are cancellation points, and the parker is in a queue. */
    int cancel = lw_cancel_off_();
    pthread_mutex_lock(&parker->mutex);
    while (lw_atomic_load_relaxed_u32(&parker->state) != 0) {
        int64_t until = deadline_ns;
        bool slice = false;
        int error;
        if (interruptible) {
            int64_t next = lw_now_() + LW_POSIX_SLICE_NS;
            if (until < 0 || next < until) {
                until = next;
                slice = true;
            }
        }
        if (until < 0) {
            pthread_cond_wait(&parker->cond, &parker->mutex);
            continue;
        }
        {
            struct timespec at;
#if defined(__APPLE__)
            int64_t left = lw_left_(until);
            at.tv_sec = (time_t)(left / 1000000000);
            at.tv_nsec = (long)(left % 1000000000);
            error = pthread_cond_timedwait_relative_np(&parker->cond, &parker->mutex, &at);
#else
            at.tv_sec = (time_t)(until / 1000000000);
            at.tv_nsec = (long)(until % 1000000000);
            error = pthread_cond_timedwait(&parker->cond, &parker->mutex, &at);
#endif
        }
        if (error == ETIMEDOUT && lw_atomic_load_relaxed_u32(&parker->state) != 0) {
            status = slice ? LW_INTERRUPTED : LW_TIMEOUT;
            break;
        }
    }
    pthread_mutex_unlock(&parker->mutex);
    lw_cancel_restore_(cancel);
    return status;
}

void lw_parker_wake_(lw_parker *parker)
{
    /* Signalled under the mutex: the waiter cannot destroy the two before they were let go. */
    pthread_mutex_lock(&parker->mutex);
    lw_atomic_store_relaxed_u32(&parker->state, 0);
    pthread_cond_signal(&parker->cond);
    pthread_mutex_unlock(&parker->mutex);
}

void lw_parker_finish_(lw_parker *parker)
{
    pthread_cond_destroy(&parker->cond);
    pthread_mutex_destroy(&parker->mutex);
}

void lw_rawlock_init_(lw_rawlock *lock)
{
    pthread_mutex_init(&lock->mutex, NULL);
}

void lw_rawlock_lock_(lw_rawlock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

void lw_rawlock_unlock_(lw_rawlock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

bool lw_rawlock_forked_(lw_rawlock *lock)
{
    bool held = pthread_mutex_trylock(&lock->mutex) != 0;
    pthread_mutex_init(&lock->mutex, NULL);
    return held;
}
