/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>

#define COND_NAME "pthread"
#define COND_ID cond_pthread
typedef pthread_cond_t cond_t;
typedef pthread_mutex_t cond_mutex_t;
#define cond_init(c, m) (pthread_cond_init(c, NULL), pthread_mutex_init(m, NULL))
#define cond_fini(c, m) (pthread_cond_destroy(c), pthread_mutex_destroy(m))
#define cond_lock(m) pthread_mutex_lock(m)
#define cond_unlock(m) pthread_mutex_unlock(m)
#define cond_wait(c, m) pthread_cond_wait(c, m)
#define cond_notify(c) pthread_cond_signal(c)

#include "../cond_rows.h"
