/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one queue or stack of pointers. An adapter defines, before it includes this file,
 *   QUEUE_NAME, QUEUE_ID    the implementation's name, and the same as a C identifier
 *   queue_t, queue_node     itself; what an element carries while it is in there
 *   queue_init(q)
 *   bool queue_push(q, node)    false: full
 *   queue_node *queue_pop(q)    NULL: empty
 * and gets register_QUEUE_ID(). It may define
 *   QUEUE_BATCH(q, sink)    takes all out, in one go, and calls sink(node) for each
 *   QUEUE_ONE_EACH          one thread pushes and one pops: no row where both threads do both */
#include "rows.h"

enum { QUEUE_HELD = 64 };

typedef struct queue_shared {
    BENCH_CACHE_LINE queue_t queue;
    BENCH_CACHE_LINE queue_node nodes[2 * QUEUE_HELD];
} queue_shared;

typedef struct queue_user {
    BENCH_CACHE_LINE queue_shared *shared;
    queue_node *node; /* one that is not in the queue */
} queue_user;

static void *queue_setup(int threads)
{
    queue_shared *s = (queue_shared *)bench_alloc(sizeof *s);
    (void)threads;
    queue_init(&s->queue);
    return s;
}

static void queue_teardown(void *shared)
{
    free(shared);
}

static void *queue_begin(void *shared, int index)
{
    queue_user *u = (queue_user *)bench_alloc(sizeof *u);
    u->shared = (queue_shared *)shared;
    u->node = &u->shared->nodes[index];
    return u;
}

static void queue_end(void *shared, void *local)
{
    (void)shared;
    free(local);
}

static uint64_t queue_push_pop(void *local, size_t n)
{
    queue_user *u = (queue_user *)local;
    queue_shared *s = u->shared;
    size_t i;
    for (i = 0; i < n; i++) {
        BENCH_CHECK(queue_push(&s->queue, u->node));
        do
            u->node = queue_pop(&s->queue);
        while (!u->node);
    }
    return n;
}

#ifdef QUEUE_BATCH
static uint64_t queue_taken;

static void queue_sink(queue_node *node)
{
    (void)node;
    queue_taken++;
}

static uint64_t queue_batch(void *local, size_t n)
{
    queue_shared *s = ((queue_user *)local)->shared;
    size_t i, k;
    queue_taken = 0;
    for (i = 0; i < n; i += QUEUE_HELD) {
        for (k = 0; k < QUEUE_HELD; k++)
            BENCH_CHECK(queue_push(&s->queue, &s->nodes[k]));
        QUEUE_BATCH(&s->queue, queue_sink);
    }
    BENCH_CHECK(queue_taken == n);
    return queue_taken;
}
#endif

BENCH_REGISTER(QUEUE_ID)(void)
{
    gb_row row = {"queues",    "push and pop", QUEUE_NAME,  1,         1024,
                  queue_setup, queue_teardown, queue_begin, queue_end, queue_push_pop};
    gb_add(&row);
#ifndef QUEUE_ONE_EACH
    row.threads = 2;
    gb_add(&row);
#endif
#ifdef QUEUE_BATCH
    row.threads = 1;
    row.row = "push, and take 64 at once";
    row.body = queue_batch;
    gb_add(&row);
#endif
}
