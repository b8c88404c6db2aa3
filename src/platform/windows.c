/* SPDX-License-Identifier: BSD-2-Clause */
/* Windows 8 and later. No signals: an interruptible wait returns when it is woken or over. No fork.
 *
 * A thread's end is seen by the callbacks of fiber-local storage: they run on the ending thread, on
 * its own stack, outside of the loader's lock, also where the thread is ended by ExitThread from
 * inside of a call, as CPython does. A record is then one of a fiber: docs/platforms.md. */
#include "platform.h"

#if !defined(_WIN32_WINNT) || _WIN32_WINNT < 0x0602
#undef _WIN32_WINNT
#define _WIN32_WINNT 0x0602 /* WaitOnAddress */
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

#include <ntsecapi.h> /* after windows.h, which it needs */
#include <stdio.h>
#include <stdlib.h>

#if defined(_MSC_VER)
#pragma comment(lib, "advapi32")
#pragma comment(lib, "synchronization")
#endif

/* ---- sleeping and waking ---- */

void lw_parker_prepare_(lw_parker *parker)
{
    lw_atomic_store_relaxed_u32(&parker->state, 1);
}

/* What is left until the deadline, rounded up: a wait that ends early only looks once more. */
static DWORD lw_windows_ms(int64_t left_ns)
{
    int64_t ms = left_ns / 1000000 + (left_ns % 1000000 != 0);
    return ms > INT32_MAX ? (DWORD)INT32_MAX : (DWORD)ms;
}

lw_status lw_parker_wait_(lw_parker *parker, int64_t deadline_ns, bool interruptible)
{
    uint32_t asleep = 1;
    (void)interruptible;
    for (;;) {
        DWORD ms = INFINITE;
        /* (1) acquire: pairs with the wake (2). */
        if (lw_atomic_load_acquire_u32(&parker->state) == 0) {
            return LW_OK;
        }
        if (deadline_ns >= 0) {
            int64_t left_ns = lw_left_(deadline_ns);
            if (left_ns == 0) {
                /* Look once more: a wake that came first counts. */
                return lw_atomic_load_acquire_u32(&parker->state) == 0 ? LW_OK : LW_TIMEOUT;
            }
            ms = lw_windows_ms(left_ns);
        }
        (void)WaitOnAddress((volatile void *)&parker->state, &asleep, sizeof asleep, ms);
    }
}

void lw_parker_wake_(lw_parker *parker)
{
    /* (2) release: what the waker did happens before the waiter goes on (1). From here on the
     * waiter's stack may be gone; the wake-up below passes its address and reads nothing. */
    lw_atomic_store_release_u32(&parker->state, 0);
    WakeByAddressSingle((void *)&parker->state);
}

void lw_parker_finish_(lw_parker *parker)
{
    (void)parker;
}

/* The system's own lock of one word: all-zero is free, and it spins before it sleeps. */
typedef char lw_rawlock_holds_an_srwlock[sizeof(lw_rawlock) == sizeof(SRWLOCK) ? 1 : -1];

void lw_rawlock_init_(lw_rawlock *lock)
{
    InitializeSRWLock((SRWLOCK *)(void *)&lock->word);
}

void lw_rawlock_lock_(lw_rawlock *lock)
{
    AcquireSRWLockExclusive((SRWLOCK *)(void *)&lock->word);
}

void lw_rawlock_unlock_(lw_rawlock *lock)
{
    ReleaseSRWLockExclusive((SRWLOCK *)(void *)&lock->word);
}

bool lw_rawlock_forked_(lw_rawlock *lock)
{
    lw_rawlock_init_(lock);
    return false;
}

/* ---- clock, processors, random bytes ---- */

int64_t lw_now_(void)
{
    LARGE_INTEGER count, frequency;
    (void)QueryPerformanceCounter(&count); /* the two never fail */
    (void)QueryPerformanceFrequency(&frequency);
    /* In two parts, or the product would overflow within hours. */
    return count.QuadPart / frequency.QuadPart * 1000000000 +
           count.QuadPart % frequency.QuadPart * 1000000000 / frequency.QuadPart;
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Warray-bounds" /* gcc 12 takes an offset in a segment for NULL */
#endif
uint64_t lw_thread_number_(void)
{
    return (uintptr_t)NtCurrentTeb();
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

void lw_yield_(void)
{
    (void)SwitchToThread();
}

void lw_sleep_(int64_t ns)
{
    Sleep(lw_windows_ms(ns));
}

unsigned lw_processors_(void)
{
    DWORD n = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    return n == 0 ? 1 : (unsigned)n;
}

uint64_t lw_random_(void)
{
    uint64_t value = 0;
    if (!RtlGenRandom(&value, sizeof value)) {
        value = (uint64_t)lw_now_() * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(uintptr_t)&value;
    }
    return value;
}

/* ---- the end of threads ---- */

/* At the end of the process the other threads are gone, with whatever locks they held: nothing of
 * the library runs then, as on Unix. Looked up before the callbacks that ask: those must not wait
 * for the loader's lock, since under Wine who holds that one may wait for the end of a callback. */
static lw_atomic_ptr lw_windows_ends_fn;

static void lw_windows_ends_init(void)
{
    HMODULE ntdll = GetModuleHandleW(L"ntdll");
    lw_atomic_store_release_ptr(&lw_windows_ends_fn,
                                (void *)GetProcAddress(ntdll, "RtlDllShutdownInProgress"));
}

static bool lw_windows_ends(void)
{
    void *ask = lw_atomic_load_acquire_ptr(&lw_windows_ends_fn);
    return ask != NULL && ((BOOLEAN(WINAPI *)(void))ask)();
}

/* FlsGetValue resets the last error, which the caller of a lock may want to read. */
static void *lw_fls_get(DWORD key)
{
    DWORD error = GetLastError();
    void *value = FlsGetValue(key);
    SetLastError(error);
    return value;
}

static bool lw_fls_set(DWORD key, void *value)
{
    DWORD error = GetLastError();
    bool done = FlsSetValue(key, value) != 0;
    SetLastError(error);
    return done;
}

static lw_atomic_ptr lw_key_at_exit; /* the same for all keys of this copy */

static void WINAPI lw_key_exit(void *value)
{
    void *at_exit = lw_atomic_load_acquire_ptr(&lw_key_at_exit);
    if (value != NULL && !lw_windows_ends()) {
        ((void (*)(void *))at_exit)(value);
    }
}

bool lw_key_create_(lw_tss *key, void (*at_exit)(void *value))
{
    lw_windows_ends_init();
    lw_atomic_store_release_ptr(&lw_key_at_exit, (void *)at_exit);
    *key = FlsAlloc(lw_key_exit);
    return *key != FLS_OUT_OF_INDEXES;
}

bool lw_key_set_(lw_tss key, void *value)
{
    return lw_fls_set(key, value);
}

void *lw_key_get_(lw_tss key)
{
    return lw_fls_get(key);
}

bool lw_at_fork_(void (*child)(void))
{
    (void)child;
    return true;
}

int lw_cancel_off_(void)
{
    return 0;
}

void lw_cancel_restore_(int state)
{
    (void)state;
}

/* Calls that may end the thread, the innermost first: on its stack, and in a key of this copy. */
typedef struct lw_guarded {
    struct lw_guarded *outer;
    void (*lost)(void *lost_arg);
    void *lost_arg;
} lw_guarded;

static lw_atomic_u32 lw_guard_key; /* plus 1; 0: none */

static void WINAPI lw_guard_exit(void *value)
{
    lw_guarded *guarded = (lw_guarded *)value;
    ULONG_PTR here = (ULONG_PTR)&guarded, low, high;
    GetCurrentThreadStackLimits(&low, &high);
    /* ExitThread leaves the frames of its callers as they were. A jump out of them (winpthreads'
     * pthread_exit is one) does not, and then they lie below this one. */
    while (guarded != NULL && (ULONG_PTR)guarded > here && (ULONG_PTR)guarded < high &&
           !lw_windows_ends()) {
        lw_guarded *outer = guarded->outer;
        guarded->lost(guarded->lost_arg);
        guarded = outer;
    }
}

static DWORD lw_guard_key_get(void)
{
    uint32_t known = lw_atomic_load_relaxed_u32(&lw_guard_key);
    if (known == 0) {
        DWORD made;
        lw_windows_ends_init();
        made = FlsAlloc(lw_guard_exit);
        if (made != FLS_OUT_OF_INDEXES) {
            if (lw_atomic_cas_relaxed_u32(&lw_guard_key, &known, (uint32_t)made + 1)) {
                return made;
            }
            (void)FlsFree(made); /* another thread was first */
        }
    }
    return known == 0 ? FLS_OUT_OF_INDEXES : (DWORD)(known - 1);
}

void lw_guard_(void (*call)(void *call_arg), void *call_arg, void (*lost)(void *lost_arg),
               void *lost_arg)
{
    DWORD key = lw_guard_key_get();
    lw_guarded guarded;
    if (key == FLS_OUT_OF_INDEXES) {
        call(call_arg);
        return;
    }
    guarded.outer = (lw_guarded *)lw_fls_get(key);
    guarded.lost = lost;
    guarded.lost_arg = lost_arg;
    (void)lw_fls_set(key, &guarded);
    call(call_arg);
    (void)lw_fls_set(key, guarded.outer);
}

/* ---- the rest ---- */

void lw_pin_(const void *address)
{
    HMODULE module;
    (void)GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                             (LPCWSTR)address, &module);
}

void lw_fatal_(const char *function, const char *message)
{
    fprintf(stderr, "latchwork: %s: %s\n", function, message);
    fflush(stderr);
    abort();
}
