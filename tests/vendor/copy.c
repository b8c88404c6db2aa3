/* SPDX-License-Identifier: BSD-2-Clause */
/* A shared library that carries the whole of latchwork, hidden, as an extension does that vendors
 * it. */
#include "../../src/all.c"

#include "copy.h"

typedef struct vendor_count {
    const void *address;
    size_t count;
} vendor_count;

static void vendor_visit(void *arg, const void *address, int64_t waited_ns)
{
    vendor_count *count = (vendor_count *)arg;
    (void)waited_ns;
    count->count += address == count->address;
}

static size_t vendor_waiters(const void *address)
{
    vendor_count count = {address, 0};
    lw_park_report(vendor_visit, &count);
    return count.count;
}

static void vendor_critical_end(lw_critical_t *section)
{
    lw_critical_end(section);
}

__attribute__((visibility("default"))) const vendor_copy *vendor_copy_get(void);

const vendor_copy *vendor_copy_get(void)
{
    static const vendor_copy copy = {
        lw_domain_get,       lw_thread_self, lw_thread_record_count,
        vendor_waiters,      lw_mutex_lock,  lw_mutex_lock_for,
        lw_mutex_unlock,     lw_map_new,     lw_map_free,
        lw_map_put,          lw_map_get,     lw_map_remove,
        lw_map_buckets,      lw_smr_enter,   lw_smr_exit,
        lw_smr_in_section,   lw_smr_retire,  lw_smr_flush,
        lw_smr_synchronize,  lw_ref_init,    lw_ref_inc,
        lw_ref_dec,          lw_ref_drain,   lw_critical_begin2,
        vendor_critical_end, lw_block_begin, lw_block_end,
    };
    return &copy;
}
