/* SPDX-License-Identifier: BSD-2-Clause */
/* liburcu with callbacks on its helper thread; the including file has chosen a flavour. */
#include <stdlib.h>

enum { SMR_PAYLOAD = 64 };

typedef struct smr_block {
    struct rcu_head head;
    unsigned char payload[SMR_PAYLOAD];
} smr_block;

static void smr_freed(smr_block *b);

static void on_grace_period(struct rcu_head *head)
{
    smr_freed((smr_block *)head);
}

#define smr_retire(t, b) ((void)(t), call_rcu(&(b)->head, on_grace_period))
#define smr_poll(t) ((void)(t))
#define smr_drain(t) ((void)(t), rcu_barrier())

#include "../smr_rows.h"
