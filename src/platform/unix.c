/* SPDX-License-Identifier: BSD-2-Clause */
/* What every Unix has: clock, processors, keys, fork handlers. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "platform.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int64_t lw_now_(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint64_t lw_thread_number_(void)
{
    return (uint64_t)(uintptr_t)pthread_self();
}

void lw_yield_(void)
{
    sched_yield();
}

void lw_sleep_(int64_t ns)
{
    struct timespec wait;
    int cancel;
    wait.tv_sec = (time_t)(ns / 1000000000);
    wait.tv_nsec = (long)(ns % 1000000000);
    cancel = lw_cancel_off_(); /* the caller may have detached from its host */
    nanosleep(&wait, NULL);
    lw_cancel_restore_(cancel);
}

unsigned lw_processors_(void)
{
    /* Asked once: the C library opens a file for it, and every new map wants to know. */
    static lw_atomic_u32 known;
    uint32_t n = lw_atomic_load_relaxed_u32(&known);
    if (n == 0) {
        long answer = sysconf(_SC_NPROCESSORS_ONLN);
        n = answer < 1 ? 1 : (uint32_t)answer;
        lw_atomic_store_relaxed_u32(&known, n);
    }
    return n;
}

uint64_t lw_random_(void)
{
    uint64_t value = 0;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;
    if (fd >= 0) {
        got = read(fd, &value, sizeof value);
        close(fd);
    }
    if (got != (ssize_t)sizeof value) {
        /* No device (a bare chroot): the clock and an address differ from run to run at least. */
        value = (uint64_t)lw_now_() * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(uintptr_t)&value;
    }
    return value;
}

bool lw_key_create_(lw_tss *key, void (*at_exit)(void *value))
{
    return pthread_key_create(key, at_exit) == 0;
}

bool lw_key_set_(lw_tss key, void *value)
{
    return pthread_setspecific(key, value) == 0;
}

void *lw_key_get_(lw_tss key)
{
    return pthread_getspecific(key);
}

bool lw_at_fork_(void (*child)(void))
{
    return pthread_atfork(NULL, NULL, child) == 0;
}

int lw_cancel_off_(void)
{
    int state = PTHREAD_CANCEL_ENABLE;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

void lw_cancel_restore_(int state)
{
    (void)pthread_setcancelstate(state, &state);
}

void lw_guard_(void (*call)(void *call_arg), void *call_arg, void (*lost)(void *lost_arg),
               void *lost_arg)
{
    pthread_cleanup_push(lost, lost_arg);
    call(call_arg);
    pthread_cleanup_pop(0);
}

void lw_pin_(const void *address)
{
    Dl_info info;
    if (dladdr(address, &info) != 0 && info.dli_fname != NULL) {
        /* The handle is dropped on purpose. A program that is no library is not found, and needs no
         * pin. */
        (void)dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
}

void lw_fatal_(const char *function, const char *message)
{
    fprintf(stderr, "latchwork: %s: %s\n", function, message);
    fflush(stderr);
    abort();
}
