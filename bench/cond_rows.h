/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one condition variable. An adapter defines, before it includes this file, COND_NAME,
 * COND_ID, cond_t, cond_mutex_t, cond_init(c, m), cond_fini(c, m), cond_lock(m), cond_unlock(m),
 * cond_wait(c, m) and cond_notify(c), and gets register_COND_ID(). */
#include "rows.h"

typedef struct cond_shared {
    BENCH_CACHE_LINE cond_mutex_t mutex;
    cond_t cond[2]; /* one to wait on for each player */
    int turn;
} cond_shared;

typedef struct cond_player {
    cond_shared *shared;
    int index;
} cond_player;

static void *cond_setup(int threads)
{
    cond_shared *s = (cond_shared *)bench_alloc(sizeof *s);
    (void)threads;
    cond_init(&s->cond[0], &s->mutex);
    cond_init(&s->cond[1], &s->mutex);
    return s;
}

static void cond_teardown(void *shared)
{
    cond_shared *s = (cond_shared *)shared;
    cond_fini(&s->cond[0], &s->mutex);
    cond_fini(&s->cond[1], &s->mutex);
    free(s);
}

static void *cond_begin(void *shared, int index)
{
    cond_player *p = (cond_player *)bench_alloc(sizeof *p);
    p->shared = (cond_shared *)shared;
    p->index = index;
    return p;
}

static void cond_end(void *shared, void *local)
{
    (void)shared;
    free(local);
}

static uint64_t cond_nobody(void *local, size_t n)
{
    cond_shared *s = ((cond_player *)local)->shared;
    size_t i;
    for (i = 0; i < n; i++) {
        cond_notify(&s->cond[0]);
        gb_clobber();
    }
    return n;
}

/* Both do as many turns in each batch, so that none is left waiting. */
static uint64_t cond_ping_pong(void *local, size_t n)
{
    cond_player *p = (cond_player *)local;
    cond_shared *s = p->shared;
    size_t i;
    cond_lock(&s->mutex);
    for (i = 0; i < n; i++) {
        while (s->turn != p->index) {
            cond_wait(&s->cond[p->index], &s->mutex);
        }
        s->turn = 1 - p->index;
        cond_notify(&s->cond[s->turn]);
    }
    cond_unlock(&s->mutex);
    return n;
}

BENCH_REGISTER(COND_ID)(void)
{
    gb_row row = {"locks",    "notify, nobody waits", COND_NAME,  1,        1024,
                  cond_setup, cond_teardown,          cond_begin, cond_end, cond_nobody};
    gb_add(&row);
    row.row = "wait and notify, in turns";
    row.threads = 2;
    row.batch = 64;
    row.body = cond_ping_pong;
    gb_add(&row);
}
