/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/critical.h>

#include "gbench.h"

#define CRITICAL_NAME "latchwork"
#define CRITICAL_ID critical_latchwork
typedef lw_mutex_t critical_object;
#define critical_make(o) lw_mutex_init(o)
#define critical_drop(o) ((void)(o))

static inline void section_one(lw_mutex_t *o)
{
    LW_CRITICAL_BEGIN(&o[0])
    gb_clobber();
    LW_CRITICAL_END();
}

static inline void section_two(lw_mutex_t *o)
{
    LW_CRITICAL_BEGIN2(&o[0], &o[1])
    gb_clobber();
    LW_CRITICAL_END();
}

static inline void section_four(lw_mutex_t *o)
{
    lw_mutex_t *set[4];
    set[0] = &o[2];
    set[1] = &o[0];
    set[2] = &o[3];
    set[3] = &o[1];
    LW_CRITICAL_BEGIN_N(set, 4)
    gb_clobber();
    LW_CRITICAL_END();
}

static inline void section_nested(lw_mutex_t *o)
{
    LW_CRITICAL_BEGIN(&o[0])
    LW_CRITICAL_BEGIN(&o[1])
    gb_clobber();
    LW_CRITICAL_END();
    LW_CRITICAL_END();
}

#define CRITICAL_ONE(o) section_one(o)
#define CRITICAL_TWO(o) section_two(o)
#define CRITICAL_FOUR(o) section_four(o)
#define CRITICAL_NESTED(o) section_nested(o)

#include "critical_rows.h"
