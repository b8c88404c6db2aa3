/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>

#define THREAD_NAME "pthread_getspecific"
#define THREAD_ID thread_pthread
static pthread_key_t thread_key;

static __attribute__((constructor)) void thread_make_key(void)
{
    pthread_key_create(&thread_key, NULL);
}

#define thread_prepare() ((void)pthread_setspecific(thread_key, &thread_key))
#define thread_find() pthread_getspecific(thread_key)

#include "../thread_rows.h"
