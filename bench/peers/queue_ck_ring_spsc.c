/* SPDX-License-Identifier: BSD-2-Clause */
#include <ck_ring.h>
#include <stdbool.h>

#define QUEUE_NAME "ck_ring spsc"
#define QUEUE_ID queue_ck_ring_spsc

typedef struct queue_t {
    ck_ring_t ring;
    ck_ring_buffer_t buffer[256];
} queue_t;

typedef struct queue_node {
    char anything;
} queue_node;

static inline queue_node *queue_pop(queue_t *q)
{
    void *node = NULL;
    return ck_ring_dequeue_spsc(&q->ring, q->buffer, &node) ? (queue_node *)node : NULL;
}

#define queue_init(q) ck_ring_init(&(q)->ring, 256)
#define queue_push(q, node) ck_ring_enqueue_spsc(&(q)->ring, (q)->buffer, node)
#define QUEUE_ONE_EACH

#include "../queue_rows.h"
