/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/map.h>

#define MAP_NAME "latchwork"
#define MAP_ID map_latchwork

#include "map_keys.h"

typedef lw_map_t map_t;

static map_t *map_make(void)
{
    lw_map_config config;
    map_t *m;
    memset(&config, 0, sizeof config);
    m = lw_map_new(&config);
    BENCH_CHECK(m);
    return m;
}

#define map_free(m) lw_map_free(m)
#define map_join() ((void)lw_thread_self())
#define map_leave() ((void)0)
#define map_poll(m) ((void)(m))
#define map_settle(m) ((void)(m))
#define map_drain() BENCH_CHECK(lw_smr_flush() == LW_OK)
#define map_get(m, key, value) lw_map_get(m, key, value)
#define map_put(m, key, value) BENCH_CHECK(lw_map_put(m, key, value) != LW_NOMEM)
#define map_remove(m, key) lw_map_remove(m, key, NULL)

#include "map_rows.h"
