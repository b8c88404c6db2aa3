/* SPDX-License-Identifier: BSD-2-Clause */
/* An allocator for lw_domain_set_allocator that counts, fails on demand, and poisons what it
 * releases. */
#ifndef LW_TESTS_HEAP_H
#define LW_TESTS_HEAP_H

#include <latchwork/domain.h>

#include "support.h"

/* Makes it the domain's allocator. To be called before the library has allocated anything. */
void heap_install(void);
/* The next `n` allocations succeed and every later one fails; negative: all succeed. */
void heap_fail_after(long n);
/* Only every n-th allocation fails, from now on; 0: none. */
void heap_fail_every(long n);
/* Allocations asked for, blocks and bytes not released. */
size_t heap_calls(void);
size_t heap_failures(void);
size_t heap_blocks(void);
size_t heap_bytes(void);

#endif
