/* SPDX-License-Identifier: BSD-2-Clause */
/* What the library asks of an operating system: this and nothing else. A new system is one new
 * file.
 *
 *   lw_parker         one sleeping thread: prepare, wait, wake. A wake is never lost; it may be
 *                     given before the wait. Wake may pass the parker's address on after the waiter
 *                     has gone on, but does not read or write it then.
 *   lw_rawlock        a lock for a few dozen instructions: blocks without hooks, knows nothing of
 *                     hosts. All-zero is unlocked.
 *   membarrier        every running thread of the process executes a full fence.
 *   key               one value per thread, with a destructor at its exit.
 *
 * The file is chosen by CMake (LATCHWORK_PLATFORM) or, in a vendored copy, by the macros below. */
#ifndef LATCHWORK_PLATFORM_H
#define LATCHWORK_PLATFORM_H

#include <latchwork/atomic.h>
#include <latchwork/status.h>

#if defined(LW_PLATFORM_MODEL)
#include "platform_model.h" /* the model checker's, found on its include path */
#else

#if !defined(LW_PLATFORM_FUTEX) && !defined(LW_PLATFORM_POSIX) && !defined(LW_PLATFORM_WINDOWS)
#if defined(__linux__)
#define LW_PLATFORM_FUTEX
#elif defined(_WIN32)
#define LW_PLATFORM_WINDOWS
#else
#define LW_PLATFORM_POSIX
#endif
#endif

#if !defined(LW_PLATFORM_WINDOWS)
#include <pthread.h>
#endif

LW_EXTERN_C_BEGIN

typedef struct lw_parker {
    lw_atomic_u32 state; /* 1: asleep or about to be; 0: woken */
#if defined(LW_PLATFORM_POSIX)
    pthread_mutex_t mutex;
    pthread_cond_t cond;
#endif
} lw_parker;

typedef struct lw_rawlock {
#if defined(LW_PLATFORM_POSIX)
    pthread_mutex_t mutex;
#elif defined(LW_PLATFORM_WINDOWS)
    lw_atomic_ptr word; /* an SRWLOCK; windows.h is not for every source */
#else
    lw_atomic_u32 word; /* 0 free, 1 held, 2 held and waited for */
#endif
} lw_rawlock;

#if defined(LW_PLATFORM_WINDOWS)
typedef unsigned long lw_tss; /* of fiber-local storage */
#else
typedef pthread_key_t lw_tss;
#endif

LW_EXTERN_C_END
#endif

LW_EXTERN_C_BEGIN

/* Makes the parker ready for one wait and wake. Never fails. */
LW_API void lw_parker_prepare_(lw_parker *parker);
/* LW_OK once woken; LW_TIMEOUT when lw_now_() has passed deadline_ns (negative: none);
 * LW_INTERRUPTED, if `interruptible`, soon after a signal handler ran, and perhaps without one.
 * After the latter two it may be waited for again. No cancellation point. */
LW_API lw_status lw_parker_wait_(lw_parker *parker, int64_t deadline_ns, bool interruptible);
LW_API void lw_parker_wake_(lw_parker *parker);
/* After a wait that returned LW_OK, or when no wake can come any more. */
LW_API void lw_parker_finish_(lw_parker *parker);

LW_API void lw_rawlock_init_(lw_rawlock *lock);
LW_API void lw_rawlock_lock_(lw_rawlock *lock);
LW_API void lw_rawlock_unlock_(lw_rawlock *lock);
/* In the child of a fork: makes the lock free, and says whether a thread of the parent held it. */
LW_API bool lw_rawlock_forked_(lw_rawlock *lock);

/* Nanoseconds of a clock that only goes forward. */
LW_API int64_t lw_now_(void);
/* When so many nanoseconds from `now_ns` on have passed, as far as the clock goes. No limit is -1
 * here. */
static inline int64_t lw_deadline_from_(int64_t now_ns, int64_t timeout_ns)
{
    if (timeout_ns < 0) {
        return -1;
    }
    return timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
}
static inline int64_t lw_deadline_(int64_t timeout_ns)
{
    return timeout_ns < 0 ? -1 : lw_deadline_from_(lw_now_(), timeout_ns);
}
/* How long until then: 0 once it has passed, -1 without a limit. */
static inline int64_t lw_left_(int64_t deadline_ns)
{
    int64_t left_ns = deadline_ns < 0 ? -1 : deadline_ns - lw_now_();
    return deadline_ns >= 0 && left_ns < 0 ? 0 : left_ns;
}
/* Not 0. Of two threads that are alive at the same time it differs in the bits 6 to 51: it is the
 * address of something that is larger than that. A thread may get the number of one that is
 * gone. */
LW_API uint64_t lw_thread_number_(void);
LW_API void lw_yield_(void);
LW_API void lw_sleep_(int64_t ns);
LW_API unsigned lw_processors_(void);
LW_API uint64_t lw_random_(void);

/* Whether the dear half of the asymmetric fence exists here; registers the process for it.
 * LW_NO_MEMBARRIER in the environment says no. To be asked again in a forked child. */
LW_API bool lw_membarrier_init_(void);
LW_API void lw_membarrier_(void);

LW_API bool lw_key_create_(lw_tss *key, void (*at_exit)(void *value));
LW_API bool lw_key_set_(lw_tss key, void *value);
LW_API void *lw_key_get_(lw_tss key);

/* `child` runs in each forked child, where there is fork. False: no memory. */
LW_API bool lw_at_fork_(void (*child)(void));

/* Between the two this thread cannot be cancelled; nest by keeping what the first returns. */
LW_API int lw_cancel_off_(void);
LW_API void lw_cancel_restore_(int state);

/* Calls call(call_arg). If that ends the thread (pthread_exit, cancellation; on Windows
 * ExitThread), calls lost(lost_arg) on the way out. */
LW_API void lw_guard_(void (*call)(void *call_arg), void *call_arg, void (*lost)(void *lost_arg),
                      void *lost_arg);

/* Keeps the library or program that holds `address` in memory until the process ends. */
LW_API void lw_pin_(const void *address);

/* Misuse that cannot be reported in any other way: prints one line and aborts. */
LW_API LW_NORETURN void lw_fatal_(const char *function, const char *message);

LW_EXTERN_C_END

#endif /* LATCHWORK_PLATFORM_H */
