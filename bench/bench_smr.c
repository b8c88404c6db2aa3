/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/smr.h>

#include <stdlib.h>

#define SMR_NAME "latchwork"
#define SMR_ID smr_latchwork

enum { SMR_PAYLOAD = 64 };

typedef struct smr_block {
    lw_smr_node node;
    unsigned char payload[SMR_PAYLOAD];
} smr_block;

typedef char smr_local;

static void smr_freed(smr_block *b);

static bool on_grace_period(lw_smr_node *node)
{
    smr_freed((smr_block *)node);
    return true;
}

static void drain(void)
{
    if (lw_smr_flush() != LW_OK)
        abort();
}

#define smr_join(t) ((void)(t), (void)lw_thread_self())
#define smr_leave(t) ((void)(t))
#define smr_enter(t) ((void)(t), lw_smr_enter())
#define smr_exit(t) ((void)(t), lw_smr_exit())
#define smr_retire(t, b)                                                                           \
    ((void)(t), lw_smr_retire_node(&(b)->node, on_grace_period, sizeof(smr_block)))
#define smr_poll(t) ((void)(t))
#define smr_drain(t) ((void)(t), drain())
#define smr_resume(t) ((void)(t))
#define smr_pause(t) ((void)(t))

#include "smr_rows.h"
