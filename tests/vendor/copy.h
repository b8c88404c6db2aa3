/* SPDX-License-Identifier: BSD-2-Clause */
/* What a library that carries a copy of latchwork shows of it: each function is that copy's own. */
#ifndef LW_TESTS_VENDOR_COPY_H
#define LW_TESTS_VENDOR_COPY_H

#include <latchwork/latchwork.h>

typedef struct vendor_copy {
    lw_domain *(*domain)(void);
    lw_thread *(*self)(void);
    size_t (*records)(void);
    size_t (*waiters)(const void *address);
    void (*lock)(lw_mutex_t *mutex);
    lw_status (*lock_for)(lw_mutex_t *mutex, int64_t timeout_ns);
    void (*unlock)(lw_mutex_t *mutex);
    lw_map_t *(*map_new)(const lw_map_config *config);
    void (*map_free)(lw_map_t *map);
    lw_status (*map_put)(lw_map_t *map, uint64_t key, uint64_t value);
    bool (*map_get)(lw_map_t *map, uint64_t key, uint64_t *value);
    bool (*map_remove)(lw_map_t *map, uint64_t key, uint64_t *value);
    size_t (*map_buckets)(const lw_map_t *map);
    void (*enter)(void);
    void (*leave)(void);
    bool (*in_section)(void);
    lw_status (*retire)(void *ptr, void (*free_fn)(void *ptr));
    lw_status (*flush)(void);
    lw_status (*synchronize)(void);
    void (*ref_init)(lw_ref_t *ref);
    void (*ref_inc)(lw_ref_t *ref);
    void (*ref_dec)(lw_ref_t *ref, lw_ref_destroy_fn destroy);
    size_t (*ref_drain)(void);
    void (*critical_begin2)(lw_critical_t *section, lw_mutex_t *a, lw_mutex_t *b);
    void (*critical_end)(lw_critical_t *section);
    void *(*block_begin)(void);
    void (*block_end)(void *token);
} vendor_copy;

#endif
