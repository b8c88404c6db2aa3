/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>

#define BARRIER_NAME "pthread_barrier"
#define BARRIER_ID barrier_pthread
typedef pthread_barrier_t barrier_object;
typedef char barrier_local;
#define barrier_begin(b, parties) pthread_barrier_init(b, NULL, parties)
#define barrier_end(b) pthread_barrier_destroy(b)
#define barrier_pass(b, c, parties) ((void)(c), (void)(parties), (void)pthread_barrier_wait(b))

#include "../barrier_rows.h"
