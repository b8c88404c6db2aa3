/* SPDX-License-Identifier: BSD-2-Clause */
#include <ck_stack.h>
#include <stdbool.h>

#define QUEUE_NAME "ck_stack"
#define QUEUE_ID queue_ck_stack
typedef ck_stack_t queue_t;
typedef ck_stack_entry_t queue_node;
#define queue_init(q) ck_stack_init(q)
#define queue_push(q, node) (ck_stack_push_mpmc(q, node), true)
#define queue_pop(q) ck_stack_pop_mpmc(q)
#define QUEUE_BATCH(q, sink)                                                                       \
    do {                                                                                           \
        queue_node *at = ck_stack_batch_pop_mpmc(q);                                               \
        while (at) {                                                                               \
            queue_node *next = CK_STACK_NEXT(at);                                                  \
            sink(at);                                                                              \
            at = next;                                                                             \
        }                                                                                          \
    } while (0)

#include "../queue_rows.h"
