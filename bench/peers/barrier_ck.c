/* SPDX-License-Identifier: BSD-2-Clause */
/* Its centralized barrier: a count and a sense in one line, and a sense of each thread's own. The
 * parties are told with each call. Who has arrived spins until the last one comes: with 8 threads
 * on 2 processors that was 5 ms of time slices an arrival, so there is no such row. */
#include <ck_barrier.h>

#define BARRIER_NAME "ck_barrier"
#define BARRIER_ID barrier_ck
typedef ck_barrier_centralized_t barrier_object;
typedef ck_barrier_centralized_state_t barrier_local;
#define barrier_begin(b, parties)                                                                  \
    ((void)(parties), (void)(*(b) = (barrier_object)CK_BARRIER_CENTRALIZED_INITIALIZER))
#define barrier_end(b) ((void)(b))
#define barrier_pass(b, c, parties) ck_barrier_centralized(b, c, parties)
#define BARRIER_SPINS

#include "../barrier_rows.h"
