/* SPDX-License-Identifier: BSD-2-Clause */
#define _LGPL_SOURCE /* inlined: liburcu at its best */
#include <urcu/wfcqueue.h>

#define QUEUE_NAME "wfcqueue"
#define QUEUE_ID queue_urcu

typedef struct queue_t {
    struct cds_wfcq_head head;
    __attribute__((aligned(64))) struct cds_wfcq_tail tail;
} queue_t;

typedef struct cds_wfcq_node queue_node;

#define queue_init(q) cds_wfcq_init(&(q)->head, &(q)->tail)
#define queue_push(q, node)                                                                        \
    (cds_wfcq_node_init(node), (void)cds_wfcq_enqueue(&(q)->head, &(q)->tail, node), true)
#define queue_pop(q) cds_wfcq_dequeue_blocking(&(q)->head, &(q)->tail)
#define QUEUE_BATCH(q, sink)                                                                       \
    do {                                                                                           \
        queue_t all;                                                                               \
        queue_node *at, *next;                                                                     \
        queue_init(&all);                                                                          \
        cds_wfcq_splice_blocking(&all.head, &all.tail, &(q)->head, &(q)->tail);                    \
        __cds_wfcq_for_each_blocking_safe(&all.head, &all.tail, at, next) sink(at);                \
    } while (0)

#include "../queue_rows.h"
