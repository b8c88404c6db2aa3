/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/ref.h>

#include <stdlib.h>

#define REF_NAME "latchwork"
#define REF_ID ref_latchwork

typedef struct ref_t {
    lw_ref_t count; /* first: a pointer to it is one to the object */
    unsigned char payload[32];
} ref_t;

static inline ref_t *ref_new(void)
{
    ref_t *made = (ref_t *)malloc(sizeof *made);
    if (made)
        lw_ref_init(&made->count);
    return made;
}

static void ref_destroy(lw_ref_t *count)
{
    free(count);
}

#define ref_inc(o) lw_ref_inc(&(o)->count)
#define ref_dec(o) lw_ref_dec(&(o)->count, ref_destroy)
#define ref_idle() ((void)lw_ref_drain())

#include "ref_rows.h"
