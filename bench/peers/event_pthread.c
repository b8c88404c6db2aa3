/* SPDX-License-Identifier: BSD-2-Clause */
/* The event that one makes of a mutex and a condition variable, as threading.Event is. */
#include <pthread.h>
#include <stdbool.h>

#define EVENT_NAME "pthread mutex + cond"
#define EVENT_ID event_pthread
typedef struct event_object {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool set;
} event_object;

static inline void event_begin(event_object *e)
{
    pthread_mutex_init(&e->mutex, NULL);
    pthread_cond_init(&e->cond, NULL);
}

static inline void event_end(event_object *e)
{
    pthread_cond_destroy(&e->cond);
    pthread_mutex_destroy(&e->mutex);
}

static inline void event_set(event_object *e)
{
    pthread_mutex_lock(&e->mutex);
    e->set = true;
    pthread_cond_broadcast(&e->cond);
    pthread_mutex_unlock(&e->mutex);
}

static inline void event_clear(event_object *e)
{
    pthread_mutex_lock(&e->mutex);
    e->set = false;
    pthread_mutex_unlock(&e->mutex);
}

static inline void event_wait(event_object *e)
{
    pthread_mutex_lock(&e->mutex);
    while (!e->set) {
        pthread_cond_wait(&e->cond, &e->mutex);
    }
    pthread_mutex_unlock(&e->mutex);
}

#include "../event_rows.h"
