/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread's record of ck_epoch. Records cannot be freed before the epoch, so that each is taken
 * into use again; an extension finds its thread's by a thread-local pointer, as this library does.
 */
#ifndef LW_BENCH_CK_RECORD_H
#define LW_BENCH_CK_RECORD_H

#include <ck_epoch.h>

#include <stdlib.h>

static ck_epoch_t epoch;
static __thread ck_epoch_record_t *record __attribute__((tls_model("initial-exec")));

static inline void ck_record_join(void)
{
    record = ck_epoch_recycle(&epoch, NULL);
    if (!record) {
        void *fresh = NULL;
        if (posix_memalign(&fresh, 64, sizeof *record) != 0)
            abort();
        record = (ck_epoch_record_t *)fresh;
        ck_epoch_register(&epoch, record, NULL);
    }
}

/* What it retired has been freed afterwards. */
static inline void ck_record_leave(void)
{
    ck_epoch_barrier(record);
    ck_epoch_unregister(record);
}

#endif
