/* SPDX-License-Identifier: BSD-2-Clause */
#include "rows.h"

#include <pthread.h>

struct bench_idle {
    void (*begin)(void *arg);
    void (*end)(void *arg);
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool begun, stop;
};

static void *idle(void *arg)
{
    bench_idle *i = (bench_idle *)arg;
    i->begin(i->arg);
    pthread_mutex_lock(&i->lock);
    i->begun = true;
    pthread_cond_broadcast(&i->changed);
    while (!i->stop)
        pthread_cond_wait(&i->changed, &i->lock);
    pthread_mutex_unlock(&i->lock);
    i->end(i->arg);
    return NULL;
}

bench_idle *bench_idle_start(void (*begin)(void *arg), void (*end)(void *arg), void *arg)
{
    bench_idle *i = (bench_idle *)bench_alloc(sizeof *i);
    i->begin = begin;
    i->end = end;
    i->arg = arg;
    pthread_mutex_init(&i->lock, NULL);
    pthread_cond_init(&i->changed, NULL);
    BENCH_CHECK(pthread_create(&i->thread, NULL, idle, i) == 0);
    pthread_mutex_lock(&i->lock);
    while (!i->begun)
        pthread_cond_wait(&i->changed, &i->lock);
    pthread_mutex_unlock(&i->lock);
    return i;
}

void bench_idle_stop(bench_idle *i)
{
    pthread_mutex_lock(&i->lock);
    i->stop = true;
    pthread_cond_broadcast(&i->changed);
    pthread_mutex_unlock(&i->lock);
    BENCH_CHECK(pthread_join(i->thread, NULL) == 0);
    pthread_cond_destroy(&i->changed);
    pthread_mutex_destroy(&i->lock);
    free(i);
}
