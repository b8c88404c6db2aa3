/* SPDX-License-Identifier: BSD-2-Clause */
/* winpthreads, but where the library sees threads as the system does: their values are those of
 * fiber-local storage, and what ends one is ExitThread. */
#ifndef LW_TESTS_WINDOWS_PTHREAD_H
#define LW_TESTS_WINDOWS_PTHREAD_H

#include_next <pthread.h>

#include "skip.h"

#include <errno.h>

#ifdef __cplusplus
extern "C" {
#endif
int support_key_create(unsigned long *key, void (*at_exit)(void *value));
int support_key_delete(unsigned long key);
int support_setspecific(unsigned long key, const void *value);
void *support_getspecific(unsigned long key);
__attribute__((noreturn)) void support_exit_thread(void);
#ifdef __cplusplus
}
#endif

#define pthread_key_t unsigned long
#define pthread_key_create support_key_create
#define pthread_key_delete support_key_delete
#define pthread_setspecific support_setspecific
#define pthread_getspecific support_getspecific
#define pthread_exit(value) support_exit_thread()

#undef PTHREAD_KEYS_MAX
#define PTHREAD_KEYS_MAX 65536
#undef PTHREAD_DESTRUCTOR_ITERATIONS
#define PTHREAD_DESTRUCTOR_ITERATIONS (support_skip(SUPPORT_NO_ROUNDS), 1)

#undef pthread_cancel
#define pthread_cancel(thread) support_no_cancellation(thread)
#define pthread_tryjoin_np(thread, result) ((void)(result), support_no_cancellation(thread))

static inline int support_no_cancellation(pthread_t thread)
{
    (void)thread;
    support_skip(SUPPORT_NO_CANCELLATION);
}

#undef pthread_atfork
static inline int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    (void)prepare;
    (void)parent;
    (void)child;
    support_skip(SUPPORT_NO_FORK);
}

#endif
