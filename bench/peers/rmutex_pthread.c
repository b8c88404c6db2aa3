/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>

#define RMUTEX_NAME "pthread recursive"
#define RMUTEX_ID rmutex_pthread
typedef pthread_mutex_t rmutex_t;
#define rmutex_fini(m) pthread_mutex_destroy(m)
#define rmutex_take(m) pthread_mutex_lock(m)
#define rmutex_drop(m) pthread_mutex_unlock(m)

static void rmutex_init(pthread_mutex_t *m)
{
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(m, &recursive);
    pthread_mutexattr_destroy(&recursive);
}

#include "../rmutex_rows.h"
