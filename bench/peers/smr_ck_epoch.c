/* SPDX-License-Identifier: BSD-2-Clause */
#include "ck_record.h"

#define SMR_NAME "ck_epoch"
#define SMR_ID smr_ck_epoch

enum { SMR_PAYLOAD = 64 };

typedef struct smr_block {
    ck_epoch_entry_t entry;
    unsigned char payload[SMR_PAYLOAD];
} smr_block;

typedef char smr_local;

static void smr_freed(smr_block *b);

static void on_grace_period(ck_epoch_entry_t *entry)
{
    smr_freed((smr_block *)entry);
}

static __attribute__((constructor)) void make_epoch(void)
{
    ck_epoch_init(&epoch);
}

#define smr_join(t) ((void)(t), ck_record_join())
#define smr_leave(t) ((void)(t), ck_record_leave())
#define smr_enter(t) ((void)(t), ck_epoch_begin(record, NULL))
#define smr_exit(t) ((void)(t), (void)ck_epoch_end(record, NULL))
#define smr_retire(t, b) ((void)(t), ck_epoch_call(record, &(b)->entry, on_grace_period))
#define smr_poll(t) ((void)(t), (void)ck_epoch_poll(record))
#define smr_drain(t) ((void)(t), ck_epoch_barrier(record))
#define smr_resume(t) ((void)(t))
#define smr_pause(t) ((void)(t))

#include "../smr_rows.h"
